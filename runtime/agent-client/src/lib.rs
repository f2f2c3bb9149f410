//! Typed calls and streams to one agent. Main type: [`Agent`]. Below: `agent`, the contract. Above: `pod`.
//!
//! Every byte from the guest is taken as hostile: ttrpc refuses messages over 4 MiB, stdio frames have limits of their own,
//! sentences are cut and shown without control characters.

mod call;
mod connect;
mod error;
mod events;
mod limits;
mod stdio;

pub use agent::{PROTOCOL_VERSION, agent as messages};
pub use call::Agent;
pub use connect::{Address, ConnectError};
pub use error::AgentError;
pub use events::Events;
pub use stdio::{OutputStream, StdinStream, StdioError, Stream, StreamId};
