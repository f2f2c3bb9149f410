//! Signals of the caller's that an attached run passes on. Main type: [`Signals`].

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Linux signal numbers (signal(7)).
const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGQUIT: u8 = 3;
const SIGTERM: u8 = 15;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// Pass this signal on to the container.
    Forward(u8),
    /// The terminal's window has another size.
    Resized,
}

/// The signals that a run listens to, from now on.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    window: Signal,
}

impl Signals {
    pub(super) fn watch() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            window: signal(SignalKind::window_change())?,
        })
    }

    pub(super) async fn next(&mut self) -> Notice {
        tokio::select! {
            _ = self.hangup.recv() => Notice::Forward(SIGHUP),
            _ = self.interrupt.recv() => Notice::Forward(SIGINT),
            _ = self.quit.recv() => Notice::Forward(SIGQUIT),
            _ = self.terminate.recv() => Notice::Forward(SIGTERM),
            _ = self.window.recv() => Notice::Resized,
        }
    }

    /// The next signal that is not about the window.
    pub(super) async fn next_forward(&mut self) -> u8 {
        loop {
            if let Notice::Forward(number) = self.next().await {
                return number;
            }
        }
    }
}
