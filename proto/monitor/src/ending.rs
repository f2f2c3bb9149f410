//! Why a machine ended. Main type: [`Ending`]. The monitor says it last on every socket; `vm-client` makes one itself when
//! the monitor died without a word.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The end of a machine and its monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// What kind of end.
    pub reason: EndReason,
    /// What happened, for people; at most [`limits::TEXT_BYTES`](crate::limits::TEXT_BYTES).
    pub text: String,
    /// The last output of the guest's console, empty when there was none. Chosen by the guest: `vm-client` escapes what
    /// could steer a terminal.
    #[serde(default)]
    pub console_tail: String,
}

/// What kind of end. A reason that this build does not know reads as [`EndReason::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The guest switched itself off.
    PowerOff,
    /// The guest asked for a reset. Machines do not restart in place: a pod gets a new one.
    Reset,
    /// The guest's kernel panicked and said so.
    GuestPanic,
    /// A processor shut down: the guest faulted while handling a double fault.
    TripleFault,
    /// Somebody sent [`Request::Stop`](crate::Request::Stop).
    Stopped,
    /// The launcher went away, and the machine was to live with it.
    LauncherGone,
    /// KVM or the monitor itself can't go on.
    InternalError,
    /// A device's work on the host failed for good.
    DeviceError,
    /// The monitor died without a word. Made by `vm-client` only.
    Lost,
    /// A reason from a newer monitor. Never sent.
    #[serde(other)]
    Unknown,
}

impl EndReason {
    /// The monitor's exit status for this reason, so that the end can be told even when the sockets are gone. 1 and 2 are
    /// left to failures before there is a machine, 101 to a Rust panic.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::PowerOff => 0,
            Self::Reset => 10,
            Self::GuestPanic => 11,
            Self::TripleFault => 12,
            Self::Stopped => 13,
            Self::LauncherGone => 14,
            Self::InternalError => 15,
            Self::DeviceError => 16,
            Self::Lost => 17,
            Self::Unknown => 18,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PowerOff => "the guest powered off",
            Self::Reset => "the guest asked for a reset",
            Self::GuestPanic => "the guest's kernel panicked",
            Self::TripleFault => "the guest triple-faulted",
            Self::Stopped => "the machine was stopped",
            Self::LauncherGone => "the launcher went away",
            Self::InternalError => "the monitor failed",
            Self::DeviceError => "a device failed on the host",
            Self::Lost => "the monitor was lost",
            Self::Unknown => "the machine ended for a reason that this version does not know",
        })
    }
}
