//! The daemon is killed, as `kill -9` does, while containers run: the next one knows all, and no byte is missing.

use std::fs;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerState, PodSandboxState};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure, log_text};
use crate::deadlines::{self, LOOK_AGAIN};

pub(crate) const TESTS: &[Test] = &[
    ("running_containers_and_their_logs_outlive_the_daemon", logs),
    (
        "containers_that_end_meanwhile_have_their_codes",
        ends_meanwhile,
    ),
    ("vm_that_dies_meanwhile_is_known_to_be_lost", dies_meanwhile),
];

const LINES: usize = 200_000;
const KILLS: usize = 3;

fn logs(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let chatty = daemon.run(&sandbox, "chatty", &format!("seq {LINES}; exit 4"))?;
    let quiet = daemon.run(&sandbox, "quiet", "exec sleep 1000")?;
    let log = daemon.logs().join("chatty.log");
    for number in 1..=KILLS {
        grown(case, &log, number)?;
        daemon.restart()?;
        let status = daemon.sandbox_status(&sandbox)?;
        ensure!(
            status.state() == PodSandboxState::SandboxReady,
            "{status:?}"
        );
        let mut known = daemon.containers()?;
        known.sort();
        let mut wanted = vec![chatty.clone(), quiet.clone()];
        wanted.sort();
        ensure!(known == wanted, "{known:?} after restart {number}");
    }
    let taken = daemon.create(&sandbox, daemon.script("quiet", "true"));
    expect_failure(taken, Code::AlreadyExists, &quiet)?;
    let said = daemon.exec(&quiet, "echo alive", 60)?;
    ensure!(said.stdout == b"alive\n", "{said:?}");
    let status = daemon.ended(&chatty)?;
    ensure!(status.exit_code == 4, "{status:?}");
    let text = log_text(&log, "stdout")?;
    let wanted: String = (1..=LINES).map(|line| format!("{line}\n")).collect();
    let (got, wanted) = (Sha256::digest(&text), Sha256::digest(wanted.as_bytes()));
    ensure!(got == wanted, "the log has a gap or a line twice");
    let status = daemon.status(&quiet)?;
    ensure!(
        status.state() == ContainerState::ContainerRunning,
        "{status:?}"
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// Waits until the log has a share of what will be in it.
fn grown(case: &Case, log: &std::path::Path, share: usize) -> Result<()> {
    let wanted = u64::try_from(LINES * share).context("a length")?;
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while fs::metadata(log).map_or(0, |about| about.len()) < wanted {
        ensure!(Instant::now() < deadline, "the log does not grow");
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

fn ends_meanwhile(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let go = "until test -e /tmp/go; do sleep 0.1; done; sleep 1";
    let id = daemon.run(&sandbox, "main", &format!("{go}; echo last; exit 6"))?;
    let waiting = daemon.create(&sandbox, daemon.script("waiting", "exit 8"))?;
    daemon.exec(&id, "touch /tmp/go", 60)?;
    daemon.kill()?;
    daemon.resume()?;
    let status = daemon.ended(&id)?;
    ensure!(
        (status.exit_code, status.reason.as_str()) == (6, "Error"),
        "{status:?}"
    );
    ensure!(log_text(&daemon.logs().join("main.log"), "stdout")? == b"last\n");
    // One that was only created still starts.
    daemon.start_container(&waiting)?;
    let status = daemon.ended(&waiting)?;
    ensure!(status.exit_code == 8, "{status:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn dies_meanwhile(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", "exec sleep 1000")?;
    let monitor = case.monitor()?;
    daemon.kill()?;
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL)
        .context("kill the monitor")?;
    daemon.resume()?;
    let status = daemon.sandbox_status(&sandbox)?;
    ensure!(
        status.state() == PodSandboxState::SandboxNotready,
        "{status:?}"
    );
    let status = daemon.ended(&id)?;
    let told = (status.exit_code, status.reason.as_str());
    ensure!(told == (255, "ContainerStatusUnknown"), "{status:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
