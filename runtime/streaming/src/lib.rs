//! The streaming server of CRI: what `kubectl exec`, `attach` and `port-forward` end at.
//!
//! A call of CRI answers with a URL; the client (kubelet in between, crictl by itself) comes to that URL and speaks one of the protocols
//! of Kubernetes there. Above: the CRI door, which checks the call, makes the URL with [`Server::open`] and implements [`Backend`].
//! Below: nothing; this crate knows no pod, no container and no VM. It sees tokens, and asks the backend for streams of bytes.
//!
//! ```text
//! let server = Server::bind(settings, backend).await?;      // listens; a clone is another handle
//! let url = server.open(Session::Exec(exec))?;              // http://127.0.0.1:PORT/exec/TOKEN
//! server.shutdown().await;                                  // ends every session; so does dropping the last handle
//! ```

pub mod spdy;

mod backend;
mod settings;

mod agree;
mod hangup;
mod http;
mod pipe;
mod port_forward;
mod remote_command;
mod server;
mod session;
mod tls;
mod token;
mod web_socket;

mod deadlines;
mod limits;

pub use backend::{
    Asked, Attach, Backend, Connection, End, Exec, PortForward, Process, Refusal, Session, Sink,
    Source,
};
pub use model::WindowSize;
pub use server::Server;
pub use settings::{BindError, Settings, Tls, TooMany};
pub use tls::TlsError;
