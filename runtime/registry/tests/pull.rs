//! Pulls from real HTTP servers on loopback: what arrives, what is refused, who is told what, what is left behind.
//!
//! The servers are scripted (`server`), but for `distribution`, which starts Debian's docker-registry.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test; clippy sees tests only in functions marked as such"
)]

#[path = "../../images/src/archive.rs"]
#[allow(
    dead_code,
    reason = "the test archives of another crate; not all are used here"
)]
mod archive;
#[path = "pull/authorization.rs"]
mod authorization;
#[path = "pull/bench.rs"]
mod bench;
#[path = "pull/disk.rs"]
mod disk;
#[path = "pull/distribution.rs"]
mod distribution;
#[path = "pull/documents.rs"]
mod documents;
#[path = "pull/fallback.rs"]
mod fallback;
#[path = "pull/interrupted.rs"]
mod interrupted;
#[path = "pull/server.rs"]
mod server;
#[path = "pull/tls.rs"]
mod tls;
#[path = "pull/together.rs"]
mod together;
