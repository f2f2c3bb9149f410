//! The command line of `testbed`: strings in, a [`Request`] out.

use std::path::PathBuf;
use std::time::Duration;

use testbed::Options;

pub(crate) const HELP: &str = "\
testbed: runs commands in the nested test host

A machine that QEMU emulates, whose CPU has SVM: /dev/kvm works in it, whatever this
machine has. It boots a stock Debian kernel on the root of this machine, read-only:
what is installed and built here is there, at the same path, and every write is thrown
away, except below /results. It is about ten times slower than the hardware. Three run at
a time for two processors of this machine, with 6 GiB of memory each, or as many as
COFFERDAM_TEST_HOSTS says; the next waits.

usage:
  testbed run [OPTIONS] -- CMD...    run CMD in a test host; its output comes live
  testbed auto [OPTIONS] -- CMD...   run CMD right here if this machine can run a stock
                                     guest kernel; else say so and do as `run`
  testbed shell [OPTIONS]            a shell in a test host, on this terminal
  testbed prepare                    fetch the current kernel of the test host

options:
  --timeout SECONDS   kill it after that time (1800; shell: a day)
  --memory MIB        memory of the test host (4096)
  --cpus N            CPUs of the test host (1)
  --results DIR       CMD sees this folder as /results and may write there; the log of
                      the test host's kernel is left there, too, as console.log
  --env NAME=VALUE    add to CMD's environment, which is otherwise a plain one

exit code: CMD's own (128 + N if signal N ended it, 127 if it could not be started);
124 if the time was up; 125 if the test host died, twice, or could not be started. A
test host that dies is said aloud, and CMD is run once more in a fresh one. A CMD that
fails is never run again.
";

/// A shell is left by its user.
const SHELL_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const LEAST_MEMORY_MIB: u32 = 512;

#[derive(Debug)]
pub(crate) enum Request {
    Help,
    Prepare,
    Run(Options),
    Auto(Options),
}

/// The request, or what is wrong, in words.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut arguments = arguments;
    let verb = arguments.next().ok_or("no command given")?;
    let rest: Vec<String> = arguments.collect();
    let own = rest.iter().take_while(|word| *word != "--");
    if own.clone().any(|word| word == "-h" || word == "--help") {
        return Ok(Request::Help);
    }
    match verb.as_str() {
        "-h" | "--help" | "help" => Ok(Request::Help),
        "prepare" if rest.is_empty() => Ok(Request::Prepare),
        "run" => Ok(Request::Run(parse_command(rest)?)),
        "auto" => Ok(Request::Auto(parse_command(rest)?)),
        "shell" => Ok(Request::Run(parse_shell(rest)?)),
        _ => Err(format!("unknown command {verb:?}")),
    }
}

fn parse_command(words: Vec<String>) -> Result<Options, String> {
    let options = parse_options(words, Options::default())?;
    if options.command.is_empty() {
        return Err("no CMD after --".to_owned());
    }
    Ok(options)
}

fn parse_shell(words: Vec<String>) -> Result<Options, String> {
    let defaults = Options {
        interactive: true,
        timeout: SHELL_TIMEOUT,
        ..Options::default()
    };
    let options = parse_options(words, defaults)?;
    if !options.command.is_empty() {
        return Err("shell takes no CMD".to_owned());
    }
    Ok(Options {
        command: vec!["bash".to_owned(), "-i".to_owned()],
        ..options
    })
}

fn parse_options(words: Vec<String>, defaults: Options) -> Result<Options, String> {
    let mut options = defaults;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            options.command = words.collect();
            break;
        }
        let mut value = || words.next().ok_or(format!("{word}: no value"));
        match word.as_str() {
            "--timeout" => {
                options.timeout = Duration::from_secs(u64::from(number(&word, &value()?, 1)?));
            }
            "--memory" => options.memory_mib = number(&word, &value()?, LEAST_MEMORY_MIB)?,
            "--cpus" => options.cpus = number(&word, &value()?, 1)?,
            "--results" => {
                let path = value()?;
                // QEMU runs in our own working directory, but the message of a wrong path names it whole.
                let whole = std::path::absolute(PathBuf::from(&path));
                options.results = Some(whole.map_err(|error| format!("{word} {path}: {error}"))?);
            }
            "--env" => {
                let pair = value()?;
                let (name, value) = pair
                    .split_once('=')
                    .ok_or(format!("--env {pair}: not NAME=VALUE"))?;
                options
                    .environment
                    .push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(format!("unknown option {word:?} (CMD comes after --)")),
        }
    }
    Ok(options)
}

fn number(option: &str, text: &str, least: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!(
            "{option} {text}: a whole number from {least} is wanted"
        )),
    }
}

#[cfg(test)]
mod tests;
