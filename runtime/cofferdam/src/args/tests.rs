//! The command line is well formed, and says what the README says.

use clap::CommandFactory;

use super::*;

#[test]
fn command_line_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn run_takes_the_command_after_two_dashes() {
    let line = [
        "cofferdam",
        "run",
        "-it",
        "--image",
        "busybox",
        "--",
        "sh",
        "-c",
        "exit 3",
    ];
    let Command::Run(run) = Arguments::try_parse_from(line).unwrap().command else {
        panic!("not run");
    };
    assert_eq!(run.command, ["sh", "-c", "exit 3"]);
    assert!(run.interactive && run.tty);
}

#[test]
fn wrong_arguments_are_refused() {
    let check = |line: &[&str]| {
        assert!(Arguments::try_parse_from(line).is_err(), "{line:?}");
    };
    check(&["cofferdam"]);
    check(&["cofferdam", "run", "--cpus", "0"]);
    check(&["cofferdam", "run", "--memory", "1"]);
    check(&["cofferdam", "image", "rm"]);
    check(&["cofferdam", "image", "pull"]);
    check(&["cofferdam", "image", "pull", "a", "--username", "me"]);
    check(&["cofferdam", "image", "pull", "a", "--password-stdin"]);
    check(&["cofferdam", "walk"]);
}
