//! Command lines, good and bad.

use super::*;

fn parse_line(line: &str) -> Result<Request, String> {
    parse(line.split_whitespace().map(str::to_owned))
}

#[test]
fn run_line_sets_every_option() {
    let line =
        "run --timeout 5 --memory 1024 --cpus 3 --results /r --env A=b=c --env D= -- sh -c --help";
    let Ok(Request::Run(options)) = parse_line(line) else {
        panic!("not a run")
    };
    assert_eq!(options.timeout, Duration::from_secs(5));
    assert_eq!((options.memory_mib, options.cpus), (1024, 3));
    assert_eq!(options.results.unwrap(), PathBuf::from("/r"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(options.environment, [pair("A", "b=c"), pair("D", "")]);
    assert_eq!(options.command, ["sh", "-c", "--help"]);
    assert!(!options.interactive);
}

#[test]
fn shell_line_is_an_interactive_run() {
    let Ok(Request::Run(options)) = parse_line("shell --cpus 1") else {
        panic!("not a run")
    };
    assert!(options.interactive);
    assert_eq!(options.command, ["bash", "-i"]);
}

#[test]
fn help_is_found_anywhere_before_the_command() {
    for line in ["--help", "help", "run --help", "auto --cpus 1 -h -- x"] {
        assert!(matches!(parse_line(line), Ok(Request::Help)), "{line}");
    }
}

#[test]
fn wrong_line_is_refused_with_what_is_wrong() {
    let check = |line, expected: &str| {
        let wrong = parse_line(line).unwrap_err();
        assert!(wrong.contains(expected), "{line}: {wrong}");
    };
    check("", "no command");
    check("boot", "\"boot\"");
    check("run", "no CMD");
    check("run --", "no CMD");
    check("run true", "\"true\"");
    check("run --timeout", "--timeout: no value");
    check("run --timeout x -- true", "--timeout x");
    check("run --cpus 0 -- true", "--cpus 0");
    check("run --memory 16 -- true", "512");
    check("run --env A -- true", "NAME=VALUE");
    check("shell -- true", "no CMD");
}
