//! Pods' networks end to end: real namespaces, real plugins where they are installed, and a guest played by the test at the taps. Each
//! test is a node of its own: a thread in a network namespace and a mount namespace that go with it. What a host lacks is said.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod frames;
mod guest;
mod node;
mod plugins;
mod scripts;
