//! Real monitors with real machines: launch, requests, every kind of end, the jail, and what is left behind. The guests are a few
//! instructions each, so they run wherever /dev/kvm opens. What a host lacks is said aloud.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says aloud what it skips"
)]

mod block_devices;
mod boot;
mod endings;
mod failures;
mod guest;
mod jail;
mod nics;
mod requests;
mod shares;
mod stage;
