//! Typed calls and streams to one agent: what agent.proto and the stdio frames say, as Rust. Above: `pod`. Its main types are
//! [`Agent`] for calls, events and connections to the pod's ports, [`OutputStream`] and [`StdinSink`] for what a process prints and reads.
//!
//! Everything that comes from an agent comes from a guest and is checked here: messages by ttrpc's limit of 4 MiB, texts by
//! `text`, stream frames by the `agent` crate, and every queue and wait is bounded.

mod call;
mod connect;
mod deadlines;
mod dial;
mod error;
mod events;
mod first_process;
mod network;
mod output;
mod request;
mod socket;
mod stdin;
mod streams;
mod text;
mod usage;
mod volume;

pub use agent::PROTOCOL_VERSION;
pub use call::{Agent, Hello};
pub use connect::Connector;
pub use error::AgentError;
pub use events::{Event, EventStream, ProcessEnd};
pub use first_process::FirstProcess;
pub use output::OutputStream;
pub use request::{
    ContainerDisk, ContainerStart, ImageFile, PodStart, ProcessExec, ProcessRef, Root, Stdio,
};
pub use socket::{Caller, HostSocket, Waiting};
pub use stdin::StdinSink;
pub use usage::{InterfaceUsage, PodUsage, Pressure, PressureShare, Traffic, Usage};
pub use volume::{
    MOST_TREE_BYTES, MOST_TREE_ENTRIES, MountSource, TreeEntry, TreeKind, VolumeMount, VolumeRoot,
};

/// Which of a process's streams of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// Standard output, or all output of a terminal.
    Stdout,
    /// Standard error; there is none with a terminal.
    Stderr,
}
