//! ExecSync: output, codes, time, and what it leaves behind.

use anyhow::{Result, ensure};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[
    ("output_and_code_come_back", output),
    (
        "command_whose_time_is_over_is_killed_with_its_children",
        times_out,
    ),
    ("child_that_keeps_the_stream_open_hangs_nobody", background),
    (
        "output_is_cut_to_one_message_and_the_command_goes_on",
        large,
    ),
];

const SLEEP: &str = "exec sleep 1000";

fn output(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let answer = daemon.exec(&id, "printf out; printf err >&2; exit 3", 0)?;
    ensure!(
        answer.stdout == b"out" && answer.stderr == b"err",
        "{answer:?}"
    );
    ensure!(
        answer.exit_code == 3,
        "a command that fails is a call that succeeds"
    );
    let answer = daemon.exec(&id[..8], "cat /hello", 60)?;
    ensure!(
        answer.stdout == test_image::GREETING.as_bytes(),
        "{answer:?}"
    );
    daemon.stop(&id, 0)?;
    let late = daemon.exec(&id, "true", 0);
    expect_failure(late, Code::FailedPrecondition, "does not run")?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn times_out(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let slow = daemon.exec(&id, "sleep 4321 & sleep 4322", 1);
    expect_failure(slow, Code::DeadlineExceeded, "killed")?;
    // The brackets keep grep from finding itself.
    let left = daemon.exec(&id, "grep -l '432[12]' /proc/[0-9]*/cmdline", 60)?;
    ensure!(
        left.exit_code == 1 && left.stdout.is_empty(),
        "left: {left:?}"
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn background(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let answer = daemon.exec(&id, "sleep 1000 & echo said", 0)?;
    ensure!(
        answer.stdout == b"said\n" && answer.exit_code == 0,
        "{answer:?}"
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn large(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let block = test_image::BLOCK;
    let script = format!(
        "i=0; while [ $i -lt 20 ]; do cat {block}; cat {block} >&2; i=$((i+1)); done; touch /tmp/done; exit 5"
    );
    let answer = daemon.exec(&id, &script, 0)?;
    ensure!(
        answer.exit_code == 5,
        "it went on to its end: {}",
        answer.exit_code
    );
    let sum = answer.stdout.len() + answer.stderr.len();
    let most = cri::MAX_MESSAGE_BYTES;
    ensure!(sum < most && sum > most / 10 * 9, "{sum} bytes");
    let pieces = answer.stdout.chunks(test_image::block().len());
    for piece in pieces {
        ensure!(
            test_image::block().starts_with(piece),
            "the bytes are others"
        );
    }
    let done = daemon.exec(&id, "test -e /tmp/done", 60)?;
    ensure!(done.exit_code == 0, "it went on to its end");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
