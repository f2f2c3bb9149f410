//! The client and the real agent together, over unix sockets on this machine: containers from a busybox directory, their streams,
//! execs, signals and limits. Needs root, cgroup version 2, busybox, and the agent's program beside this test's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where it fails and says what it skips"
)]

mod block_device;
mod dial;
mod files;
mod host;
mod limit;
mod own_namespaces;
mod pid_namespace;
mod process;
mod propagation;
mod security;
mod socket;
mod stream;
mod user_namespace;
mod volume;
