//! For tests: what happens to the system calls of this thread.

use std::cell::RefCell;
use std::io;

use super::Call;

/// What happens once the script's calls are used up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    /// Nothing happens any more, as after a kill.
    Killed,
    /// So many writes (of either file) find the disk full. Everything else goes on.
    Full { writes: usize },
    /// As `Full`, and the same number of truncations fail: the disk itself is ill.
    Ill { writes: usize, truncations: usize },
    /// So many calls of any kind fail.
    Refused { calls: usize },
}

#[derive(Debug)]
struct Script {
    calls_left: usize,
    /// How much the last of these calls writes, if it is a write.
    last_write_bytes: usize,
    then: Then,
}

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
    static CALLS: RefCell<usize> = const { RefCell::new(0) };
}

/// So many calls succeed, the last of them partly; then …
pub(crate) fn set(calls: usize, last_write_bytes: usize, then: Then) {
    let script = Script {
        calls_left: calls,
        last_write_bytes,
        then,
    };
    SCRIPT.set(Some(script));
}

/// Everything works again.
pub(crate) fn clear() {
    SCRIPT.set(None);
}

/// How many calls this thread has tried so far.
pub(crate) fn count() -> usize {
    CALLS.with_borrow(|count| *count)
}

pub(super) fn allowed(call: Call) -> io::Result<usize> {
    CALLS.with_borrow_mut(|count| *count += 1);
    SCRIPT.with_borrow_mut(|script| match script {
        None => Ok(usize::MAX),
        Some(script) => script.allowed(call),
    })
}

impl Script {
    fn allowed(&mut self, call: Call) -> io::Result<usize> {
        if self.calls_left > 0 {
            self.calls_left -= 1;
            let last = self.calls_left == 0;
            return Ok(if last {
                self.last_write_bytes
            } else {
                usize::MAX
            });
        }
        let is_write = matches!(call, Call::Write | Call::WriteAt);
        match &mut self.then {
            Then::Killed => Err(io::Error::other("killed")),
            Then::Full { writes } | Then::Ill { writes, .. } if is_write && *writes > 0 => {
                *writes -= 1;
                Err(io::ErrorKind::StorageFull.into())
            }
            Then::Ill { truncations, .. } if call == Call::Truncate && *truncations > 0 => {
                *truncations -= 1;
                Err(io::Error::other("disk is ill"))
            }
            Then::Refused { calls } if *calls > 0 => {
                *calls -= 1;
                Err(io::Error::other("refused"))
            }
            _ => Ok(usize::MAX),
        }
    }
}
