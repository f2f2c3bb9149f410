//! A terminal: the container has one, its window's size and the keys of a person reach it, and ours is given back.

use anyhow::{Result, ensure};

use crate::Test;
use crate::case::Case;
use crate::deadlines;
use crate::running::shown;
use crate::terminal::Terminal;

pub(crate) const TESTS: &[Test] = &[
    ("streams_are_a_terminal_of_our_size", first_size),
    ("resize_changes_the_size_in_the_container", resize),
    ("resize_signals_the_command", resize_signals),
    ("control_c_reaches_the_command_and_not_us", control_c),
    ("typed_line_is_read_and_echoed_once", typed_line),
    ("terminal_without_one_of_ours_works", without_terminal),
];

fn first_size(case: &Case) -> Result<()> {
    let mut terminal = Terminal::open(101, 33)?;
    let script = "test -t 0 && test -t 1 && test -t 2 && echo all three; stty size; tty";
    let command = case.run_command(&["-i", "-t"], &["sh", "-c", script])?;
    let mut running = terminal.start(&command)?;
    let ended = running.wait(case.patience.stretch(deadlines::RUN))?;
    let screen = terminal.screen.so_far();
    ended.expect_code(0)?;
    terminal
        .screen
        .wait_for("all three\r\n", case.patience.stretch(deadlines::STEP))?;
    terminal
        .screen
        .wait_for("33 101\r\n", case.patience.stretch(deadlines::STEP))?;
    ensure!(
        !screen.windows(8).any(|part| part == b"not a tty"),
        "{}",
        shown(&screen)
    );
    Ok(())
}

fn resize(case: &Case) -> Result<()> {
    let script =
        "echo ready; until test \"$(stty size)\" = '44 132'; do sleep 0.1; done; echo wide; exit 5";
    resize_while(case, script, "wide")
}

/// A full-screen program redraws on SIGWINCH; it does not look at the size again and again.
fn resize_signals(case: &Case) -> Result<()> {
    let script = "trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.1; done";
    resize_while(case, script, "44 132")
}

/// Runs the script until it is ready, resizes to 132 by 44, and waits for what it says then, and for its end with 5.
fn resize_while(case: &Case, script: &str, answer: &str) -> Result<()> {
    let mut terminal = Terminal::open(80, 24)?;
    let mut running = terminal.start(&case.run_command(&["-i", "-t"], &["sh", "-c", script])?)?;
    terminal
        .screen
        .wait_for("ready", case.patience.stretch(deadlines::RUN))?;
    terminal.resize(132, 44)?;
    terminal
        .screen
        .wait_for(answer, case.patience.stretch(deadlines::STEP))?;
    running
        .wait(case.patience.stretch(deadlines::STEP))?
        .expect_code(5)?;
    Ok(())
}

fn control_c(case: &Case) -> Result<()> {
    let mut terminal = Terminal::open(80, 24)?;
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    let mut running = terminal.start(&case.run_command(&["-i", "-t"], &["sh", "-c", script])?)?;
    terminal
        .screen
        .wait_for("ready", case.patience.stretch(deadlines::RUN))?;
    ensure!(
        !terminal.is_cooked()?,
        "our terminal must pass keys on, not act on them"
    );
    terminal.press(b"\x03")?;
    terminal
        .screen
        .wait_for("interrupted", case.patience.stretch(deadlines::STEP))?;
    running
        .wait(case.patience.stretch(deadlines::STEP))?
        .expect_code(9)?;
    ensure!(
        terminal.is_cooked()?,
        "our terminal was not given back as it was"
    );
    Ok(())
}

fn typed_line(case: &Case) -> Result<()> {
    let mut terminal = Terminal::open(80, 24)?;
    let script = "echo ready; read line; echo got $line";
    let mut running = terminal.start(&case.run_command(&["-i", "-t"], &["sh", "-c", script])?)?;
    terminal
        .screen
        .wait_for("ready", case.patience.stretch(deadlines::RUN))?;
    terminal.press(b"some words\r")?;
    terminal
        .screen
        .wait_for("got some words", case.patience.stretch(deadlines::STEP))?;
    running
        .wait(case.patience.stretch(deadlines::STEP))?
        .expect_code(0)?;
    let screen = String::from_utf8_lossy(&terminal.screen.so_far()).into_owned();
    let seen = screen.matches("some words").count();
    ensure!(
        seen == 2,
        "once as echo and once as answer, but it was seen {seen} times: {screen:?}"
    );
    Ok(())
}

/// A script may ask for a terminal with pipes on our side: the container has one then, of no size that we know.
fn without_terminal(case: &Case) -> Result<()> {
    let script = "test -t 0 && test -t 1 && test -t 2 && echo all three";
    case.run(&["-t"], &["sh", "-c", script])?
        .expect_code(0)?
        .expect_stdout("all three\r\n")?;
    Ok(())
}
