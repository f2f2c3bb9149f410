//! The server over its unix socket, with a real image store, a registry on loopback and with the records of pods that have stopped: all that needs no VM. Each
//! test has a daemon of its own ([`bench::Bench`]). What a running pod does is tested end to end.

#![allow(
    clippy::unwrap_used,
    reason = "a test; clippy sees tests only in functions marked as such"
)]

mod bench;
mod images;
mod metrics;
mod pull;
mod refused;
mod registry;
mod stopped_pods;
mod streams;
mod whole;
