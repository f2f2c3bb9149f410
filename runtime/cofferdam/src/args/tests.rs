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
fn help_of_a_command_has_its_long_text() {
    let check = |line: &[&str], expect: &str| {
        let help = Arguments::try_parse_from(line).unwrap_err().to_string();
        assert!(help.contains(expect), "{help}");
    };
    check(&["cofferdam", "run", "--help"], "125 means");
    check(&["cofferdam", "serve", "--help"], "until SIGTERM");
    check(&["cofferdam", "image", "pull", "--help"], "Docker Hub");
    check(&["cofferdam", "image", "--help"], "Pull an image");
    check(
        &["cofferdam", "inspect", "--help"],
        "each stage of its start",
    );
    check(&["cofferdam", "ps", "--help"], "cri.socket");
    check(&["cofferdam", "--help"], "Serve kubelet");
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
    check(&["cofferdam", "inspect"]);
    check(&["cofferdam", "pods", "web"]);
    check(&["cofferdam", "walk"]);
}
