//! What one case says: words and what came out of them. Main type: [`Line`].

use std::fmt;

use rustix::io::{self, Errno};

/// `case: first=ok second=ENOENT`
#[derive(Debug)]
pub(super) struct Line {
    case: &'static str,
    said: Vec<String>,
}

impl Line {
    pub(super) fn new(case: &'static str) -> Line {
        Line {
            case,
            said: Vec::new(),
        }
    }

    pub(super) fn say(&mut self, what: &str, result: impl fmt::Display) {
        self.said.push(format!("{what}={result}"));
    }

    /// How a call went, whatever it gave.
    pub(super) fn call<T>(&mut self, what: &str, result: io::Result<T>) {
        let word = result.map_or_else(named, |_given| "ok".to_owned());
        self.say(what, word);
    }

    /// What a call gave.
    pub(super) fn value<T: fmt::Display>(&mut self, what: &str, result: io::Result<T>) {
        let word = result.map_or_else(named, |value| value.to_string());
        self.say(what, word);
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.case, self.said.join(" "))
    }
}

/// An error by its name.
pub(super) fn named(errno: Errno) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(errno.raw_os_error()))
}
