//! The launcher's program: one order in, one container or process started, one reply out.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
};

use rustix::{stdio, thread};

use crate::{
    account::Identity,
    create::create,
    exec::exec,
    failure::Failure,
    message::{self, Order, Reply, Work},
};

/// The first argument with which the agent's program is a launcher. Its standard input is the socket to the agent.
pub const LAUNCHER_ARGUMENT: &str = "launch";

/// The whole life of a launcher. To be called with one thread.
#[must_use]
pub fn launcher_main() -> ExitCode {
    match launch_one() {
        Ok(()) => ExitCode::SUCCESS,
        // The agent sees the socket closed without a reply and says so.
        Err(_no_agent) => ExitCode::FAILURE,
    }
}

fn launch_one() -> io::Result<()> {
    let socket = UnixStream::from(stdio::stdin().try_clone_to_owned()?);
    // A process without standard input reads from there, and it must not be the socket.
    stdio::dup2_stdin(File::open("/dev/null")?)?;
    let (order, streams): (Order, _) = message::receive(&socket)?;
    let (reply, terminal) = match carry_out(order, streams) {
        Ok(Started {
            pid,
            terminal,
            user,
        }) => (Reply::Started { pid, user }, terminal),
        Err(failure) => (Reply::Failed(failure), None),
    };
    let fds: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
    message::send(&socket, &reply, &fds)
}

/// What has come of an order.
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) terminal: Option<OwnedFd>,
    /// Of a container's first process.
    pub(crate) user: Option<Identity>,
}

fn carry_out(mut order: Order, streams: Vec<OwnedFd>) -> Result<Started, Failure> {
    // libcontainer sets supplementary groups only when there are some; the agent's must not show through.
    thread::set_thread_groups(&[])
        .map_err(|error| Failure::internal("drop the launcher's groups", &error))?;
    let work = std::mem::replace(&mut order.work, Work::Nothing);
    match work {
        Work::Create {
            spec,
            root,
            read_only,
            user,
        } => create(&order, *spec, (root, read_only, user), streams),
        Work::Exec { process, exec_id } => {
            let (pid, terminal) = exec(&order, (*process, &exec_id), streams)?;
            Ok(Started {
                pid,
                terminal,
                user: None,
            })
        }
        Work::Nothing => Err(Failure::invalid("an order without work")),
    }
}
