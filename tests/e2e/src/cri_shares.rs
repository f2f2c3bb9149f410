//! Folders of the node that containers work on themselves, over the Container Runtime Interface.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cri::v1::{Mount, PodSandboxState};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::mounting::{finish, mount, run, with};

pub(crate) const TESTS: &[Test] = &[
    ("folder_and_file_are_shared_both_ways", both_ways),
    ("mount_of_the_node_appears_in_a_running_container", later),
    ("share_server_that_dies_ends_its_pod_with_the_cause", dies),
    ("shares_live_over_a_killed_daemon", killed),
    ("share_of_nothing_is_refused_by_name", missing),
];

/// For what happens at once, where virtualisation is emulated.
const PATIENCE: Duration = Duration::from_secs(120);

/// Process ids of the share servers on this host.
fn servers() -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let pid = process.file_name().to_string_lossy().parse();
        if let (Ok(pid), "cofferdam-share") = (pid, name.trim()) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn both_ways(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let folder = case.folder().join("shared");
    fs::create_dir(&folder)?;
    fs::write(folder.join("from-node"), "node\n")?;
    symlink(&folder, case.folder().join("link"))?;
    let file = case.folder().join("alone");
    fs::write(&file, "alone\n")?;
    let read_only = Mount {
        readonly: true,
        ..mount("/ro", &folder)
    };
    let mounts = vec![
        mount("/rw", &case.folder().join("link")),
        read_only,
        mount("/file", &file),
    ];
    let script = "cat /rw/from-node /ro/from-node /file; echo pod >/rw/from-pod; mkdir /rw/d; mv /rw/from-pod /rw/d/; \
        echo x >/ro/x || echo no; echo more >>/file; chown 1000:2000 /rw/d; dd if=/dev/zero of=/rw/big bs=1M count=4 2>/dev/null";
    let config = with(&daemon, "main", script, mounts);
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(
        said == (0, "node\nnode\nalone\nno\n".to_owned()),
        "{said:?}; log: {}",
        daemon.log()
    );
    ensure!(fs::read_to_string(folder.join("d/from-pod"))? == "pod\n");
    ensure!(fs::read_to_string(&file)? == "alone\nmore\n");
    ensure!(fs::metadata(folder.join("big"))?.len() == 4 << 20);
    let owner = fs::metadata(folder.join("d"))?;
    ensure!((owner.uid(), owner.gid()) == (1000, 2000));
    ensure!(servers()?.len() == 1, "one for the pod");
    daemon.remove_sandbox(&sandbox)?;
    ensure!(servers()?.is_empty(), "a share server is left");
    Ok(())
}

fn later(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let folder = case.folder().join("shared");
    fs::create_dir_all(folder.join("later"))?;
    let shell = |line: String| -> Result<()> {
        let status = Command::new("sh").args(["-c", &line]).status()?;
        ensure!(status.success(), "{line}");
        Ok(())
    };
    let path = folder.display();
    shell(format!(
        "mount --bind {path} {path} && mount --make-shared {path}"
    ))?;
    let follows = Mount {
        propagation: 1,
        ..mount("/v", &folder)
    };
    let script = "until cat /v/later/file 2>/dev/null; do sleep 0.2; done";
    let id = run(
        &daemon,
        &sandbox,
        with(&daemon, "main", script, vec![follows]),
    )?;
    shell(format!("mount -t tmpfs later {path}/later"))?;
    fs::write(folder.join("later/file"), "later\n")?;
    let status = daemon.ended(&id)?;
    ensure!(status.exit_code == 0, "{status:?}");
    // readOnly is of the folder alone (KEP-3857 has recursiveReadOnly for the rest).
    let read_only = Mount {
        readonly: true,
        ..mount("/v", &folder)
    };
    let script = "echo x >/v/x || echo no; echo y >/v/later/y && echo yes";
    let config = with(&daemon, "reads", script, vec![read_only]);
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(said == (0, "no\nyes\n".to_owned()), "{said:?}");
    let all_read_only = Mount {
        readonly: true,
        recursive_read_only: true,
        ..mount("/v", &folder)
    };
    let script = "echo x >/v/x || echo no; echo z >/v/later/z || echo no; cat /v/later/file";
    let config = with(&daemon, "only-reads", script, vec![all_read_only]);
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(said == (0, "no\nno\nlater\n".to_owned()), "{said:?}");
    daemon.remove_sandbox(&sandbox)?;
    shell(format!("umount {path}/later && umount {path}"))
}

fn dies(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    ended_pod(case, &mut daemon, "heard", false)?;
    // The next daemon finds out.
    ended_pod(case, &mut daemon, "found", true)
}

/// Runs a pod, kills its share server, and sees the pod end with the cause. `away`: while there is no daemon.
fn ended_pod(case: &Case, daemon: &mut Daemon<'_>, name: &str, away: bool) -> Result<()> {
    let sandbox = daemon.run_sandbox(name)?;
    let folder = case.folder().join(name);
    fs::create_dir(&folder)?;
    let config = with(daemon, name, "exec sleep 1000", vec![mount("/v", &folder)]);
    let id = run(daemon, &sandbox, config)?;
    let [server] = servers()?[..] else {
        anyhow::bail!("not one server");
    };
    if away {
        daemon.kill()?;
    }
    let killed = Command::new("kill")
        .args(["-9", &server.to_string()])
        .status()?;
    ensure!(killed.success());
    if away {
        daemon.resume()?;
    }
    let status = daemon.ended(&id)?;
    ensure!(status.exit_code == 137, "{status:?}");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        let status = daemon.sandbox_status(&sandbox)?;
        if status.state() == PodSandboxState::SandboxNotready && servers()?.is_empty() {
            break status;
        }
        ensure!(Instant::now() < until, "{status:?}");
        std::thread::yield_now();
    };
    let shown = case.tell(&["inspect", &sandbox])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(
        shown.contains("its share server ended"),
        "{status:?} {shown}"
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn killed(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let (one, two) = (case.folder().join("one"), case.folder().join("two"));
    for folder in [&one, &two] {
        fs::create_dir(folder)?;
    }
    let script = "until [ -e /v/go ]; do sleep 0.1; done; echo done >/v/done";
    let id = run(
        &daemon,
        &sandbox,
        with(&daemon, "main", script, vec![mount("/v", &one)]),
    )?;
    daemon.kill()?;
    fs::write(one.join("go"), "")?;
    let until = Instant::now() + PATIENCE;
    while !one.join("done").exists() {
        ensure!(Instant::now() < until, "the share went with the daemon");
        std::thread::yield_now();
    }
    daemon.resume()?;
    ensure!(daemon.ended(&id)?.exit_code == 0);
    let mounts = vec![mount("/one", &one), mount("/two", &two)];
    let script = "cat /one/done; echo two >/two/file";
    let said = finish(&daemon, &sandbox, with(&daemon, "second", script, mounts))?;
    ensure!(said == (0, "done\n".to_owned()), "{said:?}");
    ensure!(fs::read_to_string(two.join("file"))? == "two\n");
    ensure!(servers()?.len() == 1, "one for the pod");
    daemon.remove_sandbox(&sandbox)?;
    ensure!(servers()?.is_empty(), "a share server is left");
    Ok(())
}

fn missing(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let nothing = case.folder().join("missing");
    let config = with(&daemon, "main", "true", vec![mount("/v", &nothing)]);
    let id = daemon.create(&sandbox, config)?;
    let started = daemon.start_container(&id);
    expect_failure(started, Code::InvalidArgument, "missing on the host")?;
    ensure!(!nothing.exists(), "nothing was made");
    daemon.remove_sandbox(&sandbox)?;
    ensure!(servers()?.is_empty(), "a share server is left");
    Ok(())
}
