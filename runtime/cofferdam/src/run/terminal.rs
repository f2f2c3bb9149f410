//! The caller's terminal while a container has it: raw mode, and back again whatever happens. Main type: [`RawTerminal`].

use std::io::{self, IsTerminal};

use model::WindowSize;
use rustix::termios::{self, OptionalActions, Termios};

/// Standard input as a raw terminal; dropped, it is again what it was.
#[derive(Debug)]
pub(super) struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Makes standard input raw: every key goes to the container, Ctrl-C too. `None` where it is no terminal.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = termios::tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}

/// Size of the terminal that standard input is, if it is one.
pub(super) fn window_size() -> Option<WindowSize> {
    let size = termios::tcgetwinsize(io::stdin()).ok()?;
    Some(WindowSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}
