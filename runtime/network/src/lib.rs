//! A pod's network on its node: a network namespace, the CNI plugins that fill it, and taps that lead from it into the guest. Main
//! type: [`Network`]. Below: `model`, whose `PodNetwork` says what the guest is told. Above: the doors that serve a kubelet; `pod`
//! is handed the [`Attachment`]'s parts and never comes here.
//!
//! ```text
//! PodRequest ──setup──► namespace ─► CNI ADD … ─► read by netlink ─► translate ─► taps, joined by tc ──► Attachment
//!                          │
//!                      (record)──teardown, gc──► CNI DEL … in reverse ─► namespace removed ─► record removed
//! ```
//!
//! The namespace stays the source of truth: its links keep their addresses, but every packet goes past the node's own stack, from
//! the link to the tap and back. The record is on disk before the first plugin runs, so a teardown works after any crash.

mod addresses;
mod attachment;
pub mod cni;
mod config;
mod deadlines;
mod dump;
mod error;
mod join;
mod links;
mod namespace;
mod network;
mod operations;
mod quiet;
mod record;
mod request;
mod routes;
mod rules;
mod sys;
mod tap;
mod translate;
mod turns;
mod vhost_net;

pub use attachment::{AttachError, Attachment, Tap};
pub use config::NetworkConfig;
pub use deadlines::Deadlines;
pub use dump::{Dump, DumpError};
pub use error::NetworkError;
pub use join::JoinError;
pub use links::{Joint, LinkError, LinkPlan};
pub use namespace::NamespaceError;
pub use network::{Collected, Network};
pub use quiet::QuietError;
pub use record::RecordError;
pub use request::{BadRequest, Bandwidth, Dns, PodRequest, PortMapping, Protocol};
pub use tap::TapError;
pub use translate::{Plan, TranslateError, translate};
pub use vhost_net::{VhostNetError, open as open_vhost_net};
