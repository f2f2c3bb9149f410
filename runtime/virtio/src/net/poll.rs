//! What a network device waits for, behind one epoll descriptor. Main types: [`Poll`] and [`Source`]; [`Waits`] is what a direction of
//! a pair waits for. Above: `serve` and `kernel`. Below: the crate's `poll`.
//!
//! Everything is edge-triggered, as in the socket device: doorbells need not be read, and what is ready while nobody can use it does
//! not wake again. A tap that the guest has no buffers for is not even watched: each frame that comes would be an edge.

use crate::{
    limits::NIC_EVENTS_PER_RUN,
    poll::{self, Token},
};

/// The device's epoll instance.
pub(super) type Poll = poll::Poll<Source, NIC_EVENTS_PER_RUN>;

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The driver has new buffers for this pair.
    Receive(usize),
    /// The driver has new frames of this pair.
    Transmit(usize),
    /// The tap of this pair has frames, or room.
    Tap(usize),
    /// The kernel gave this pair up.
    Broken(usize),
    /// The driver has a command.
    Control,
    /// Work was left over.
    Again,
}

/// What one direction of a pair waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing: there is more to do.
    No,
    /// The tap: for frames, or for room.
    ForTap,
    /// The guest: for buffers, or for frames.
    ForGuest,
}

impl Source {
    /// Kind in the lowest bits, pair above.
    const KINDS: u64 = 8;
}

impl Token for Source {
    fn token(self) -> u64 {
        let (kind, pair) = match self {
            Self::Receive(pair) => (0, pair),
            Self::Transmit(pair) => (1, pair),
            Self::Tap(pair) => (2, pair),
            Self::Broken(pair) => (3, pair),
            Self::Control => (4, 0),
            Self::Again => (5, 0),
        };
        // No more pairs than a few.
        u64::try_from(pair).unwrap_or(0) * Self::KINDS + kind
    }

    fn from_token(token: u64) -> Self {
        let pair = usize::try_from(token / Self::KINDS).unwrap_or(usize::MAX);
        match token % Self::KINDS {
            0 => Self::Receive(pair),
            1 => Self::Transmit(pair),
            2 => Self::Tap(pair),
            3 => Self::Broken(pair),
            4 => Self::Control,
            _ => Self::Again,
        }
    }
}
