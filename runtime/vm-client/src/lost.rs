//! What can be said of a monitor that died without a word. Main function: [`ending`].

#[cfg(test)]
mod tests;

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use monitor::{EndReason, Ending};

use crate::words;

/// What the system tells about the death of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It was our child.
    Known(ExitStatus),
    /// It was someone else's child, whose status nobody told us.
    Unknown,
}

/// The ending of a monitor that sent none. `complaint` is what it wrote to its standard error.
pub(crate) fn ending(death: Death, complaint: &str) -> Ending {
    let mut text = match death {
        Death::Unknown => {
            "the monitor's process is gone without a last word; it was started by another process, \
            so how it died can't be learnt"
                .to_owned()
        }
        Death::Known(status) => how(status),
    };
    let complaint = words::printable(complaint.trim());
    if !complaint.is_empty() {
        text = format!("{text}; it wrote: {complaint}");
    }
    Ending {
        reason: EndReason::Lost,
        text,
        console_tail: String::new(),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let meaning = meaning(signal);
            format!("the monitor was killed by signal {signal} ({meaning})")
        }
        (None, Some(code)) => format!("the monitor ended with status {code} without a last word"),
        (None, None) => "the monitor's process is gone without a last word".to_owned(),
    }
}

/// What a signal means for a monitor; numbers as in signal(7) on x86-64.
fn meaning(signal: i32) -> &'static str {
    match signal {
        6 => "SIGABRT: it gave up on a fault of its own",
        7 => "SIGBUS: a file behind its memory shrank, or memory ran out",
        9 => "SIGKILL: someone on this host, or the kernel for want of memory",
        11 => "SIGSEGV: a fault of its own",
        15 => "SIGTERM: someone on this host",
        31 => "SIGSYS: it made a system call that its seccomp filter forbids",
        _ => "see signal(7)",
    }
}
