//! Sockets of the host in the guest: the call that makes one, and connections that wait for a process to connect to it. Main type: [`Waiting`]. Beside
//! `dial`, which is the other way round.

use std::time::Duration;

use agent::{
    agent as wire,
    socket::{CALLER_BYTES, Wait},
};
use model::VolumeId;
use tokio::{io::AsyncReadExt, net::UnixStream};

use crate::{
    Agent, AgentError,
    call::{context_of, lost, within},
    stdin::open,
};

pub use agent::socket::Caller;

/// How a socket looks in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSocket {
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A connection that the next process gets. Dropped, it takes nothing with it.
#[derive(Debug)]
pub struct Waiting(UnixStream);

impl Agent {
    /// Makes a volume that is a socket. Where it is there already, it stays.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn make_socket(
        &self,
        id: &VolumeId,
        socket: HostSocket,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let socket = wire::HostSocket {
            mode: socket.mode,
            uid: socket.uid,
            gid: socket.gid,
            ..Default::default()
        };
        let request = wire::MountVolumeRequest {
            volume_id: id.to_string(),
            socket: Some(socket).into(),
            ..Default::default()
        };
        let call = self.client.mount_volume(context_of(deadline), &request);
        within("MountVolume", deadline, call).await.map(|_done| ())
    }

    /// Waits at a socket of [`Agent::make_socket`].
    ///
    /// # Errors
    /// [`AgentError::NotFound`] when there is no such socket.
    pub async fn wait_at(&self, id: &VolumeId) -> Result<Waiting, AgentError> {
        let wait = Wait {
            volume_id: id.to_string(),
        };
        let frame = wait.encode().map_err(|error| AgentError::Invalid {
            message: error.to_string(),
        })?;
        let (stream, _no_offset) = open(&self.connector, &frame).await?;
        Ok(Waiting(stream))
    }
}

impl Waiting {
    /// Waits for a process, however long it takes. The bytes of the stream are the process's; who it is, is the guest's word.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the agent is gone.
    pub async fn caller(self) -> Result<(Caller, UnixStream), AgentError> {
        let Self(mut stream) = self;
        let mut frame = [0; CALLER_BYTES];
        let read = stream.read_exact(&mut frame).await;
        read.map_err(lost("wait for a process at a socket"))?;
        Ok((Caller::decode(frame), stream))
    }
}
