//! A connection to a port in the pod: bytes as they are between the caller and what listens on the pod's own loopback. Beside `stdin`,
//! whose streams are opened likewise.

use agent::dial::Dial;
use tokio::net::UnixStream;

use crate::{Agent, AgentError, stdin::open};

impl Agent {
    /// Connects to 127.0.0.1, or else to ::1, in the pod. A shutdown of the stream's writing half reaches what listens there, whose own
    /// end is an end of file here.
    ///
    /// # Errors
    /// [`AgentError::Precondition`] when nothing answers there, with the kernel's words for each address.
    pub async fn dial(&self, port: u16) -> Result<UnixStream, AgentError> {
        if port == 0 {
            let message = "port 0 can't be connected to".to_owned();
            return Err(AgentError::Invalid { message });
        }
        let opened = open(&self.connector, &Dial { port }.encode()).await;
        match opened {
            Ok((stream, _no_offset)) => Ok(stream),
            Err(AgentError::NotFound { message }) => Err(AgentError::Precondition { message }),
            Err(error) => Err(error),
        }
    }
}
