//! A container's log while kubelet rotates it.

use std::fs;

use anyhow::{Context, Result, ensure};
use cri::v1::ReopenContainerLogRequest;
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure, log_text};

pub(crate) const TESTS: &[Test] = &[("rotation_loses_and_repeats_no_byte", rotation)];

const LINES: usize = 20_000;
const ROTATIONS: usize = 5;

fn rotation(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", &format!("seq {LINES}; exec sleep 1000"))?;
    let log = daemon.logs().join("main.log");
    let reopen = || ReopenContainerLogRequest {
        container_id: id.clone(),
    };
    let mut whole = Vec::new();
    for number in 0..ROTATIONS {
        let old = daemon.logs().join(format!("main.log.{number}"));
        fs::rename(&log, &old).context("rename the log")?;
        daemon.call(async |mut client| client.reopen_container_log(reopen()).await)?;
        ensure!(log.exists(), "with the answer the new one is there");
        let then = fs::metadata(&old)?.len();
        // Something happens in the guest, so that more would have come.
        daemon.exec(&id, "true", 30)?;
        ensure!(
            fs::metadata(&old)?.len() == then,
            "nothing more goes to the old one"
        );
        whole.extend(log_text(&old, "stdout")?);
    }
    // The last line is there when the container says so.
    daemon.stop(&id, 0)?;
    daemon.ended(&id)?;
    whole.extend(log_text(&log, "stdout")?);
    let wanted: String = (1..=LINES).map(|line| format!("{line}\n")).collect();
    // A container that is killed early has said less, and that without a gap.
    ensure!(
        wanted.as_bytes().starts_with(&whole),
        "a line is missing or twice"
    );
    ensure!(!whole.is_empty(), "it said something");
    let old = daemon.logs().join("main.log.last");
    fs::rename(&log, &old).context("rename the log")?;
    let late = daemon.call(async |mut client| client.reopen_container_log(reopen()).await);
    expect_failure(late, Code::FailedPrecondition, "does not run")?;
    ensure!(!log.exists(), "no new log of what does not run");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
