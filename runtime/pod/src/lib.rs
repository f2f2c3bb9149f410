//! The heart: one task owns one pod.
pub mod oci;
