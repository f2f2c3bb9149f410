//! The caller's terminal during an interactive run. QEMU makes it raw and non-blocking, and gives it back when it ends by
//! itself; a QEMU that is killed does not, so [`Saved`] does.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// How the terminal was; dropping it restores that.
#[derive(Debug)]
pub(super) struct Saved {
    modes: Option<Termios>,
    flags: Option<OFlags>,
}

impl Saved {
    pub(super) fn take() -> Saved {
        Saved {
            modes: tcgetattr(stdin()).ok(),
            flags: fcntl_getfl(stdin()).ok(),
        }
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        // A terminal that is gone by now needs no modes.
        if let Some(modes) = &self.modes {
            tcsetattr(stdin(), OptionalActions::Now, modes).ok();
        }
        if let Some(flags) = self.flags {
            fcntl_setfl(stdin(), flags).ok();
        }
    }
}

/// "ROWS COLUMNS" of the terminal; a usual size if there is none.
pub(super) fn window() -> String {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 => format!("{} {}", size.ws_row, size.ws_col),
        _ => "24 80".to_owned(),
    }
}
