//! The contract between the host and the agent in the guest. `agent.proto` says in its comments what each call promises;
//! this crate holds what is generated from it and the frames of the streams. Above: `agent-client` on the host,
//! `agentd` in the guest. It has no logic of either side.

pub mod dial;
pub mod socket;
pub mod stdio;

/// Messages, generated from `agent.proto`.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::multiple_unsafe_ops_per_block,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    clippy::uninlined_format_args,
    missing_debug_implementations,
    nonstandard_style,
    unreachable_pub,
    unused,
    reason = "generated code"
)]
pub mod agent {
    include!(concat!(env!("OUT_DIR"), "/agent.rs"));
}

/// Client and server, generated from `agent.proto`.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::multiple_unsafe_ops_per_block,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    clippy::uninlined_format_args,
    missing_debug_implementations,
    nonstandard_style,
    unreachable_pub,
    unused,
    reason = "generated code"
)]
pub mod agent_ttrpc {
    use super::agent;
    include!(concat!(env!("OUT_DIR"), "/agent_ttrpc.rs"));
}

/// Version of the protocol that this build speaks. It also speaks with `PROTOCOL_VERSION - 1`, once there is one.
pub const PROTOCOL_VERSION: u32 = 1;

/// vsock port of the ttrpc server in the guest.
pub const RPC_PORT: u32 = 1024;

/// vsock port in the guest where each connection is one stdio stream, one connection to a port in the pod, or one that waits for a process to connect to
/// a socket of the host.
pub const STDIO_PORT: u32 = 1025;

/// Largest `oci_spec` or `oci_process` that the agent takes, in bytes.
pub const MAX_SPEC_BYTES: usize = 1 << 20;

/// Largest AppArmor policy that the agent takes, in bytes: it has to fit into a message.
pub const MAX_APPARMOR_BYTES: usize = 3 << 20;

/// Most content that the files of one tree of a volume have, in bytes.
pub const MAX_VOLUME_BYTES: u64 = 32 << 20;

/// Most entries of one tree of a volume.
pub const MAX_VOLUME_ENTRIES: usize = 16384;

/// Largest part of a volume's file that is read back, in bytes.
pub const MAX_READ_BYTES: u32 = 1 << 20;
