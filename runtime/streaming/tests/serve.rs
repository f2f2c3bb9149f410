//! The streaming server seen from its clients: a client of its own make over real sockets, and a backend that is a script.
//!
//! - [`backend`]: commands and ports that do what a test needs
//! - [`bench`]: a server with that backend
//! - [`commands`], [`forwards`]: exec, attach and port-forward as they should be
//! - [`requests`]: who comes in and who does not
//! - [`wire`]: each rule of SPDY/3.1 that a client may lean on or break
//! - [`sockets`]: the same over WebSocket
//! - [`load`]: much at once, and clients that come and go

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test; clippy sees tests only in functions marked as such"
)]

#[path = "serve/backend.rs"]
mod backend;
#[path = "serve/bench.rs"]
mod bench;
#[path = "serve/commands.rs"]
mod commands;
#[path = "serve/forwards.rs"]
mod forwards;
#[path = "serve/load.rs"]
mod load;
#[path = "serve/requests.rs"]
mod requests;
#[path = "serve/sockets.rs"]
mod sockets;
#[path = "serve/wire.rs"]
mod wire;
