//! Collects every child that has ended. The agent is the parent of all: as PID 1 of its guest, or as child subreaper of its
//! launchers. Nobody else in this process waits for a child: launchers do libcontainer's waiting in their own process.

use rustix::process::{WaitOptions, wait};

use crate::process::Exit;

/// The children that have ended since the last call.
pub(crate) fn reap() -> Vec<(i32, Exit)> {
    let mut ended = Vec::new();
    // ECHILD, no children at all, ends the loop like "none has ended" does.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        let exit = match (
            number(status.exit_status()),
            number(status.terminating_signal()),
        ) {
            (Some(code), _) => Exit::Code(code),
            (_, Some(signal)) => Exit::Signal(signal),
            (None, None) => continue,
        };
        ended.push((pid.as_raw_nonzero().get(), exit));
    }
    ended
}
