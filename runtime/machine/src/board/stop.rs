//! Why a machine stops. Main types: [`Stop`] and [`Verdict`], the board's answer to an exit. The monitor reports the reason and ends.

use std::fmt;

/// What a processor's thread does after an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Run on.
    Continue,
    /// The whole machine stops.
    Stop(Stop),
}

/// Why the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The guest entered S5.
    PowerOff,
    /// The guest asked for a reset. Our machines run once: a reset ends them.
    Reset,
    /// The guest's kernel panicked and said so (pvpanic).
    GuestPanic,
    /// A processor met a fault that it can't even deliver.
    TripleFault,
    /// KVM can't emulate what the guest did.
    InternalError {
        /// KVM_INTERNAL_ERROR_*.
        kind: u32,
    },
    /// The hardware refused the processor's state.
    FailedEntry {
        /// The hardware's reason.
        reason: u64,
    },
    /// An exit that nobody asked for.
    UnexpectedExit {
        /// KVM_EXIT_*.
        reason: u32,
    },
}

impl Stop {
    pub(super) fn of_system_event(kind: u32) -> Self {
        match kind {
            kvm_bindings::KVM_SYSTEM_EVENT_SHUTDOWN => Self::PowerOff,
            kvm_bindings::KVM_SYSTEM_EVENT_RESET => Self::Reset,
            kvm_bindings::KVM_SYSTEM_EVENT_CRASH => Self::GuestPanic,
            _ => Self::UnexpectedExit {
                reason: kvm_bindings::KVM_EXIT_SYSTEM_EVENT,
            },
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("the guest asked for a reset"),
            Self::GuestPanic => f.write_str("the guest's kernel panicked"),
            Self::TripleFault => f.write_str("a virtual processor met a triple fault"),
            Self::InternalError { kind: 1 } => {
                f.write_str("KVM can't emulate an instruction of the guest")
            }
            Self::InternalError { kind } => write!(f, "KVM met its internal error {kind}"),
            Self::FailedEntry { reason } => {
                write!(f, "the hardware refused to enter the guest ({reason:#x})")
            }
            Self::UnexpectedExit { reason } => {
                write!(f, "a virtual processor left the guest for reason {reason}")
            }
        }
    }
}
