//! Standard input goes through, to its end, and only when it was asked for.

use std::time::Duration;

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use crate::Test;
use crate::case::Case;
use crate::deadlines;

pub(crate) const TESTS: &[Test] = &[
    ("bytes_of_every_kind_go_through", bytes_go_through),
    ("end_of_input_is_seen_while_output_stays_open", half_close),
    ("input_not_asked_for_is_empty", not_connected),
    (
        "command_that_reads_nothing_ends_all_the_same",
        input_is_not_read,
    ),
];

/// More than what the pipes and windows on the way hold together.
const INPUT_BYTES: usize = 3 << 20;

fn bytes_go_through(case: &Case) -> Result<()> {
    let input: Vec<u8> = (0..INPUT_BYTES)
        .map(|at| u8::try_from(at * 31 % 251).unwrap_or(0))
        .collect();
    let mut running = case.start(&["--interactive"], &["sha256sum"])?;
    running.write(&input)?;
    let ended = running.finish(case.patience.stretch(deadlines::LONG_RUN))?;
    ended
        .expect_code(0)?
        .expect_stdout(&format!("{}  -\n", sha256(&input)))?;
    Ok(())
}

fn half_close(case: &Case) -> Result<()> {
    let mut running = case.start(&["-i"], &["sh", "-c", "cat; echo after the end; exit 4"])?;
    running.write(b"first\n")?;
    running
        .stdout
        .wait_for("first\n", case.patience.stretch(deadlines::RUN))?;
    running.write(b"second\n")?;
    running
        .stdout
        .wait_for("second\n", case.patience.stretch(deadlines::STEP))?;
    ensure!(!running.has_ended()?, "it ended although its input is open");
    let ended = running.finish(case.patience.stretch(deadlines::STEP))?;
    ended
        .expect_code(4)?
        .expect_stdout("first\nsecond\nafter the end\n")?;
    Ok(())
}

fn not_connected(case: &Case) -> Result<()> {
    let mut running = case.start(&[], &["sh", "-c", "cat; echo end"])?;
    // Our side stays open: were it connected, this would wait for ever.
    let ended = running.wait(case.patience.stretch(deadlines::RUN))?;
    ended.expect_code(0)?.expect_stdout("end\n")?;
    Ok(())
}

fn input_is_not_read(case: &Case) -> Result<()> {
    let mut running = case.start(&["-i"], &["true"])?;
    let ended = running.wait(case.patience.stretch(deadlines::RUN))?;
    ended.expect_code(0)?;
    ensure!(ended.took > Duration::ZERO, "a run takes time");
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
