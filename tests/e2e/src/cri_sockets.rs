//! Sockets of the node that containers connect to, over the Container Runtime Interface.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Int64Value, LinuxContainerSecurityContext};
use rustix::net::sockopt::socket_peercred;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, log_text};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::mounting::{finish, mount, run, with};

pub(crate) const TESTS: &[Test] = &[
    ("socket_of_the_node_is_answered_as_its_mode_says", answered),
    ("socket_waits_for_a_daemon_that_was_killed", killed),
];

/// The test's program for containers, in dist.
const CONNECT: &str = "unix-connect";

/// A server at a path.
struct Server(UnixListener);

impl Server {
    fn bind(path: &Path, mode: u32) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    fn accept(&self, case: &Case) -> Result<UnixStream> {
        let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    let patience = case.patience.stretch(deadlines::STEP);
                    stream.set_read_timeout(Some(patience))?;
                    return Ok(stream);
                }
                Err(_none) if Instant::now() < deadline => thread::park_timeout(LOOK_AGAIN),
                Err(error) => return Err(error).context("wait for a client"),
            }
        }
    }

    /// Hears one client to its end and answers: who it is, and what it said, backwards.
    fn answer(&self, case: &Case) -> Result<()> {
        let mut client = self.accept(case)?;
        let mut said = Vec::new();
        client.read_to_end(&mut said).context("hear a client")?;
        said.reverse();
        let who = socket_peercred(&client)?;
        let (uid, gid) = (who.uid.as_raw(), who.gid.as_raw());
        write!(client, "{uid} {gid} ")?;
        Ok(client.write_all(&said)?)
    }
}

fn talker(
    case: &Case,
    daemon: &Daemon<'_>,
    (name, script): (&str, &str),
    (socket, user): (&Path, i64),
) -> ContainerConfig {
    let mounts = vec![
        mount("/run/node.sock", socket),
        mount("/talk", &case.dist().join(CONNECT)),
    ];
    let mut config = with(daemon, name, script, mounts);
    let linux = config.linux.get_or_insert_default();
    linux.security_context = Some(LinuxContainerSecurityContext {
        run_as_user: Some(Int64Value { value: user }),
        run_as_group: Some(Int64Value { value: user }),
        ..LinuxContainerSecurityContext::default()
    });
    config
}

/// Runs a container to its end while the server answers one connection.
fn talk(
    server: &Server,
    daemon: &Daemon<'_>,
    sandbox: &str,
    config: ContainerConfig,
) -> Result<(i32, String)> {
    thread::scope(|scope| {
        let answer = scope.spawn(|| server.answer(daemon.case));
        let said = finish(daemon, sandbox, config)?;
        answer.join().ok().context("the server panicked")??;
        Ok(said)
    })
}

fn answered(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let socket = case.folder().join("node.sock");
    let server = Server::bind(&socket, 0o666)?;
    let script = "stat -c '%F %a %u' /run/node.sock; printf abc | /talk /run/node.sock";
    let config = talker(case, &daemon, ("user", script), (&socket, 1000));
    let said = talk(&server, &daemon, &sandbox, config)?;
    let expect = (0, "socket 666 0\n1000 1000 cba".to_owned());
    ensure!(said == expect, "{said:?}; log: {}", daemon.log());
    // Another server at the same path, for root alone; 1 MiB in pieces.
    drop(server);
    fs::remove_file(&socket)?;
    let server = Server::bind(&socket, 0o600)?;
    let script = "head -c 1048576 /dev/zero | /talk /run/node.sock | wc -c";
    let config = talker(case, &daemon, ("root", script), (&socket, 0));
    let said = talk(&server, &daemon, &sandbox, config)?;
    ensure!(said == (0, "1048580\n".to_owned()), "{said:?}");
    // Nobody else; and with nobody there it ends.
    let sandbox = (
        daemon.remove_sandbox(&sandbox)?,
        daemon.run_sandbox("other")?,
    )
        .1;
    let script = "/talk /run/node.sock 2>&1 </dev/null";
    let config = talker(case, &daemon, ("other", script), (&socket, 1000));
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(
        said.0 != 0 && said.1.contains("ermission denied"),
        "{said:?}"
    );
    drop(server);
    let config = talker(case, &daemon, ("nobody", script), (&socket, 0));
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(said.1.is_empty() || said.1.contains("reset"), "{said:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn killed(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let socket = case.folder().join("node.sock");
    let server = Server::bind(&socket, 0o666)?;
    let script = "mkfifo /f; exec 3<>/f; /talk /run/node.sock <&3; echo cut; printf again | /talk /run/node.sock";
    let config = talker(case, &daemon, ("main", script), (&socket, 0));
    let log = daemon.logs().join(&config.log_path);
    let id = run(&daemon, &sandbox, config)?;
    // Its stream is the daemon's and ends with it; the next one waits for the next daemon.
    let mut first = server.accept(case)?;
    daemon.kill()?;
    ensure!(first.read(&mut [0])? == 0, "the end of a stream");
    daemon.resume()?;
    server.answer(case)?;
    daemon.stop(&id, 1).ok();
    daemon.ended(&id)?;
    let said = String::from_utf8(log_text(&log, "stdout")?)?;
    ensure!(said == "cut\n0 0 niaga", "{said:?}; log: {}", daemon.log());
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
