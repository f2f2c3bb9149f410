//! The life of a device as its status register tells it (virtio 1.3, sections 2.1 and 3.1.1). Main function: [`step`], which
//! decides what a write by the driver means. Above: `registers` keeps it.
//!
//! ```text
//!  0 ──ACKNOWLEDGE──► 1 ──DRIVER──► 3 ──FEATURES_OK──► 0xb ──DRIVER_OK──► 0xf
//!  ▲                                    (only if they fit)    (backend runs)│
//!  └──────────────────── 0 written, from anywhere ─────────────────────────┘
//!  FAILED may be added anywhere, NEEDS_RESET is ours to add; after either only the reset leads on.
//! ```

#[cfg(test)]
mod tests;

pub(super) const ACKNOWLEDGE: u8 = 1;
pub(super) const DRIVER: u8 = 2;
pub(super) const DRIVER_OK: u8 = 4;
pub(super) const FEATURES_OK: u8 = 8;
pub(super) const NEEDS_RESET: u8 = 64;
pub(super) const FAILED: u8 = 128;

/// The bits in the order in which a driver sets them, as the values they add up to.
const STAGES: [u8; 5] = [
    0,
    ACKNOWLEDGE,
    ACKNOWLEDGE | DRIVER,
    ACKNOWLEDGE | DRIVER | FEATURES_OK,
    ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
];

/// What a write to the status register leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything starts anew.
    Reset,
    /// The register has this value now.
    To(u8),
    /// The same, and the device starts to work.
    Start(u8),
    /// Not allowed here: nothing changes, which the driver can read.
    Refused,
}

/// Decides a write. `features_fit`: what the driver chose can be worked with.
pub(super) fn step(current: u8, written: u8, features_fit: bool) -> Step {
    if written == 0 {
        return Step::Reset;
    }
    // Drivers write back what they read, with a bit added. This one is not theirs.
    let written = written & !NEEDS_RESET;
    if current & FAILED != 0 || current & !written != 0 {
        return Step::Refused;
    }
    if written & FAILED != 0 {
        return Step::To(current | FAILED);
    }
    if !STAGES.contains(&written) {
        return Step::Refused;
    }
    let added = written & !current;
    if added & FEATURES_OK != 0 && (!features_fit || added & DRIVER_OK != 0) {
        // The driver must read the bit back before it goes on, so it can't set the next one with it.
        return Step::Refused;
    }
    if added & DRIVER_OK != 0 {
        return Step::Start(written);
    }
    Step::To(written)
}
