//! The same sessions over WebSocket (RFC 6455), as Kubernetes has them: numbered channels in messages, or SPDY in a tunnel. Main functions:
//! [`command`], [`forward`], [`tunnel`]. Above: `session`. Below: `remote_command`, `port_forward`, tokio-tungstenite.
//!
//! A message's first byte is its channel; with base64 all is text, and the channel a digit. There are no ends of channels but for the
//! message `FF nn` of version 5, so a process' input may end and nothing else; the end of all is the close of the connection, with 1000.

mod command;
mod connection;
mod forward;
mod message;
mod tunnel;

pub(crate) use command::command;
pub(crate) use forward::forward;
pub(crate) use message::Encoding;
pub(crate) use tunnel::tunnel;
