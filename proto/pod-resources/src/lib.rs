//! Kubelet's PodResources API on the wire, v1: which devices a kubelet gave to the containers of a pod.
//!
//! `v1/podresources.proto` is our own file with the names and numbers of Kubernetes; `wire.txt` lists those once more, and a test
//! compares. Main type: the client [`v1::pod_resources_lister_client::PodResourcesListerClient`]; the server beside it is for tests.
//! Above: `devices`. Below: nothing of ours.

#[cfg(test)]
mod tests;

/// Largest answer, in bytes, as kubelet's own clients have it. tonic's limit is 4 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Messages, client and server, generated from `v1/podresources.proto`.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/v1.rs"));
}
