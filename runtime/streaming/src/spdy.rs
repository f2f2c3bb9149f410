//! SPDY/3.1, as much of its server side as Kubernetes' clients use: streams over one connection, without flow control and without a
//! compressor of our own. Main function: `connection::serve`. Above: the sessions. Public is what reads a client's bytes, for fuzzing.

mod connection;
mod dictionary;
mod frame;
mod headers;
mod streams;

pub use frame::{Decoder, Event, FrameError};
pub use headers::{HeaderError, Headers, Inflater};

pub(crate) use connection::{Admission, Opened, Socket, Stream, serve};
