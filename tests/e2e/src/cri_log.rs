//! A container's log while kubelet rotates it, and the form of its lines.

use std::fs;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use cri::v1::ReopenContainerLogRequest;
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure, log_text};

pub(crate) const TESTS: &[Test] = &[("rotation_loses_and_repeats_no_byte", rotation)];

const LINES: usize = 20_000;
const ROTATIONS: usize = 5;

/// A line that is cut in three.
const LONG_LINE_BYTES: usize = 40_000;
/// What kubelet reads of a line at most.
const PIECE_BYTES: usize = 16 << 10;

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
    long_line(&daemon, &sandbox)?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// `TIME stdout P|F PIECE`, each time one of RFC 3339 with nanoseconds, between the start of the container and its end.
fn long_line(daemon: &Daemon<'_>, sandbox: &str) -> Result<()> {
    let script = format!("head -c {LONG_LINE_BYTES} /dev/zero | tr '\\0' x; echo; echo short");
    let mut last = SystemTime::now();
    let id = daemon.run(sandbox, "long", &script)?;
    daemon.ended(&id)?;
    let log = fs::read_to_string(daemon.logs().join("long.log")).context("read the log")?;
    let mut seen = Vec::new();
    for line in log.lines() {
        let fields: Vec<_> = line.splitn(4, ' ').collect();
        let [time, "stdout", tag, piece] = fields[..] else {
            bail!("no line of CRI's format: {line:.80}");
        };
        let (_, fraction) = time.split_once('.').context("parts of a second")?;
        ensure!(fraction.len() == "123456789Z".len(), "nanoseconds: {time}");
        let time = humantime::parse_rfc3339(time).with_context(|| time.to_owned())?;
        ensure!(last <= time, "{time:?} is before {last:?}");
        last = time;
        ensure!(piece.bytes().all(|byte| byte == b'x') || piece == "short");
        seen.push((tag, piece.len()));
    }
    ensure!(last <= SystemTime::now(), "{last:?} is still to come");
    let rest = LONG_LINE_BYTES - 2 * PIECE_BYTES;
    let wanted = [
        ("P", PIECE_BYTES),
        ("P", PIECE_BYTES),
        ("F", rest),
        ("F", 5),
    ];
    ensure!(seen == wanted, "{seen:?}");
    Ok(())
}
