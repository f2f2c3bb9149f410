//! Output comes back whole, in order, and on the stream that it was written to.

use anyhow::{Result, ensure};

use crate::Test;
use crate::case::Case;
use crate::deadlines;
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[
    ("fifty_mib_arrive_intact", fifty_mib),
    ("streams_stay_apart", streams_stay_apart),
    (
        "output_written_just_before_the_end_is_not_lost",
        late_output,
    ),
    ("reader_that_goes_away_ends_the_run", reader_goes_away),
    ("timings_are_printed_beside_the_output", timings),
];

const BLOCKS: usize = 50;

/// Numbered blocks of a MiB that the image holds: a lost, repeated or swapped piece changes the sum.
fn fifty_mib(case: &Case) -> Result<()> {
    let block = test_image::block();
    let mut expected = Vec::new();
    for number in 1..=BLOCKS {
        expected.extend_from_slice(format!("{number}\n").as_bytes());
        expected.extend_from_slice(&block);
    }
    let path = test_image::BLOCK;
    let script =
        format!("i=1; while [ $i -le {BLOCKS} ]; do echo $i; cat {path}; i=$((i+1)); done");
    let running = case.start(&[], &["sh", "-c", &script])?;
    let ended = running.finish(case.patience.stretch(deadlines::LONG_RUN))?;
    ended.expect_code(0)?;
    let differs = ended
        .stdout
        .iter()
        .zip(&expected)
        .position(|(got, wanted)| got != wanted);
    ensure!(
        differs.is_none(),
        "the bytes are others from {differs:?} on"
    );
    let (got, wanted) = (ended.stdout.len(), expected.len());
    ensure!(got == wanted, "{got} bytes came, not {wanted}");
    Ok(())
}

fn streams_stay_apart(case: &Case) -> Result<()> {
    let script = "echo out; echo err >&2; printf 'no end of line'";
    let ended = case.run(&[], &["sh", "-c", script])?;
    ended.expect_code(0)?.expect_stdout("out\nno end of line")?;
    ensure!(
        ended.stderr == "err\n",
        "stderr is the container's alone, but {ended}"
    );
    Ok(())
}

/// The exit is known before the last bytes have been read: they must be waited for.
fn late_output(case: &Case) -> Result<()> {
    let script = "yes line | head -n 2000; exec sh -c 'echo last; echo last >&2; exit 6'";
    let ended = case.run(&[], &["sh", "-c", script])?;
    ended
        .expect_code(6)?
        .expect_stdout(&format!("{}last\n", "line\n".repeat(2000)))?;
    ensure!(
        ended.stderr == "last\n",
        "stderr came late or not at all: {ended}"
    );
    Ok(())
}

/// As in `cofferdam run … | head -n 1`.
fn reader_goes_away(case: &Case) -> Result<()> {
    let command = case.run_command(&[], &["yes"])?;
    let mut pipeline = std::process::Command::new("sh");
    pipeline.args(["-c", r#""$@" | head -n 1"#, "sh"]);
    pipeline.arg(command.get_program()).args(command.get_args());
    let ended =
        crate::running::Running::start(pipeline)?.finish(case.patience.stretch(deadlines::RUN))?;
    ended.expect_stdout("y\n")?;
    Ok(())
}

fn timings(case: &Case) -> Result<()> {
    let ended = case.run(&["--timings"], &["echo", "done"])?;
    ended
        .expect_code(0)?
        .expect_stdout("done\n")?
        .expect_error_naming(&["ms"])?;
    Ok(())
}
