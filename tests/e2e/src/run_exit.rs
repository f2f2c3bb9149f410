//! `cofferdam run` ends as its container ends.

use anyhow::Result;
use rustix::process::Signal;

use crate::Test;
use crate::case::Case;
use crate::deadlines;

pub(crate) const TESTS: &[Test] = &[
    ("code_zero_is_given_back", |case| code(case, &["true"], 0)),
    ("code_three_is_given_back", |case| {
        code(case, &["sh", "-c", "exit 3"], 3)
    }),
    ("code_255_is_given_back", |case| {
        code(case, &["sh", "-c", "exit 255"], 255)
    }),
    (
        "signal_that_ends_the_command_is_128_and_its_number",
        |case| code(case, &["/bin/trap"], 128 + 4),
    ),
    (
        "signal_that_ends_a_child_is_what_the_shell_says",
        child_is_killed,
    ),
    ("signal_to_us_reaches_the_command", signal_is_passed_on),
    (
        "environment_and_arguments_arrive_unchanged",
        arguments_arrive,
    ),
];

fn code(case: &Case, command: &[&str], code: i32) -> Result<()> {
    case.run(&[], command)?
        .expect_code(code)?
        .expect_stdout("")?;
    Ok(())
}

fn child_is_killed(case: &Case) -> Result<()> {
    let command = [
        "sh",
        "-c",
        "sh -c 'kill -TERM $$'; echo $?; sh -c 'kill -KILL $$'; exit $?",
    ];
    case.run(&[], &command)?
        .expect_code(137)?
        .expect_stdout("143\n")?;
    Ok(())
}

fn signal_is_passed_on(case: &Case) -> Result<()> {
    let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let running = case.start(&[], &["sh", "-c", script])?;
    running
        .stdout
        .wait_for("ready\n", case.patience.stretch(deadlines::RUN))?;
    running.signal(Signal::TERM)?;
    let ended = running.finish(case.patience.stretch(deadlines::STEP))?;
    ended.expect_code(7)?.expect_stdout("ready\nasked\n")?;
    Ok(())
}

fn arguments_arrive(case: &Case) -> Result<()> {
    let flags = [
        "--env",
        "WORD=two words",
        "--env",
        "EMPTY=",
        "--workdir",
        "/tmp",
    ];
    let script = r#"printf '%s|' "$WORD" "${EMPTY-unset}" "$PWD" "$@""#;
    let command = ["sh", "-c", script, "sh", "a b", "", "'$c'", "é\n"];
    let ended = case.run(&flags, &command)?;
    ended
        .expect_code(0)?
        .expect_stdout("two words||/tmp|a b||'$c'|é\n|")?;
    Ok(())
}
