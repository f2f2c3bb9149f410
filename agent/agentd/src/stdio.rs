//! The stdio streams of processes, as proto/agent/src/stdio.rs describes them. `listener` accepts the host's connections and finds
//! the stream; each stream has a task of its own, an [`output`] or an [`input`], that outlives its connections. A connection to a port of the
//! pod ([`dial`]), or one that waits at a socket of the host's ([`wait`]), has one as long as it lasts.

mod dial;
pub(crate) mod input;
pub(crate) mod listener;
pub(crate) mod output;
mod wait;
mod window;

use std::{fs::File, io, os::fd::OwnedFd, sync::Arc};

use agent::stdio::Opened;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadHalf, WriteHalf, unix::AsyncFd},
    sync::mpsc,
    time::timeout,
};

use crate::{deadlines::ANSWER_DEADLINE, sys};

/// A connected byte stream to the host.
pub(crate) trait HostStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<Any: AsyncRead + AsyncWrite + Send + Unpin> HostStream for Any {}

/// A connection whose `Open` frame asked for the stream that it is given to.
pub(crate) struct Connection {
    pub(crate) host: Box<dyn HostStream>,
    /// From the `Open` frame.
    pub(crate) offset: u64,
}

/// Hands connections to a stream's task. Dropping the last one ends the task.
pub(crate) type StreamHandle = mpsc::Sender<Connection>;

/// Our end of a pipe or a terminal. A terminal's is shared by its two streams.
pub(crate) type ProcessEnd = Arc<AsyncFd<File>>;

/// Registers a descriptor with the runtime.
pub(crate) fn process_end(fd: OwnedFd) -> io::Result<ProcessEnd> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(Arc::new(sys::watch(
        File::from(fd),
        Interest::READABLE | Interest::WRITABLE,
    )?))
}

/// Both halves of a connection in use.
struct Host {
    reader: ReadHalf<Box<dyn HostStream>>,
    writer: WriteHalf<Box<dyn HostStream>>,
}

impl Host {
    /// Answers the host's `Open`. None when it has gone away meanwhile.
    async fn welcome(connection: Connection, opened: Opened) -> Option<Self> {
        let refused = matches!(opened, Opened::Refused { .. });
        let (reader, writer) = tokio::io::split(connection.host);
        let mut host = Self { reader, writer };
        let answered = host.answer(&opened.encode()).await;
        (answered.is_ok() && !refused).then_some(host)
    }

    /// Sends a few bytes. A host that does not take them is as good as gone.
    async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(ANSWER_DEADLINE, self.writer.write_all(bytes)).await?
    }
}
