//! The Container Runtime Interface on the wire: `runtime.v1` at the level of Kubernetes 1.36, all 41 calls.
//!
//! `v1/*.proto` are our own files with the names and numbers of Kubernetes; `wire.txt` lists those once more, and a test
//! compares. Main types: the traits [`v1::runtime_service_server::RuntimeService`] and
//! [`v1::image_service_server::ImageService`], which have no default for a call, so that one which is not served is seen in
//! the server; the clients beside them are for tests. Above: the daemon's CRI door, which translates. Below: nothing of ours.

mod secrets;
#[cfg(test)]
mod tests;

/// Largest message of either direction, in bytes, as kubelet and crictl have it. tonic's own limit is 4 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Messages, clients and servers, generated from `v1/*.proto`.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/runtime.v1.rs"));
}
