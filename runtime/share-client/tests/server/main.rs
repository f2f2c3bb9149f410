//! Share servers with folders of the host, and a guest that speaks FUSE to them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod escape;
mod files;
mod fuse;
mod lives;
mod mounts;
mod stage;
