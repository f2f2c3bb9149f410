//! Standard input, from the host to a process: takes a chunk, gives it to the process, acknowledges. Never holds more than one chunk,
//! so a process that does not read stops the host. Its main type is [`Input`].

use std::io::{self, Write};

use agent::stdio::{MAX_CHUNK_BYTES, Opened};
use tokio::{
    io::{AsyncReadExt, Interest},
    sync::mpsc,
    time::timeout,
};

use super::{Connection, Host, ProcessEnd, StreamHandle};
use crate::deadlines::{ANSWER_DEADLINE, CONNECTIONS_PER_STREAM};

/// VEOF of a new terminal (termios(3)): a reader of the terminal sees the end of its input.
const END_OF_TRANSMISSION: u8 = 4;

/// One stream of input.
struct Input {
    /// None after the end of the input, from either side.
    sink: Option<ProcessEnd>,
    terminal: bool,
    /// Why nothing is taken any more.
    over: Option<&'static str>,
    /// Every byte before this offset has been given to the process.
    taken: u64,
    host: Option<Writer>,
}

/// A host that writes this stream.
struct Writer {
    host: Host,
    length: [u8; 4],
    arrived: usize,
    /// The chunk: grows to its announced length, then shrinks from `given` on. Empty between chunks.
    chunk: Vec<u8>,
    announced: usize,
    given: usize,
}

/// What a round of the task waited for.
enum Happened {
    Connected(Connection),
    /// The handle has been dropped.
    Removed,
    Arrived(io::Result<usize>),
    Writable(io::Result<()>),
}

/// Starts the task of a stream.
pub(crate) fn start(sink: ProcessEnd, terminal: bool) -> StreamHandle {
    let (handle, connections) = mpsc::channel(CONNECTIONS_PER_STREAM);
    let input = Input {
        sink: Some(sink),
        terminal,
        over: None,
        taken: 0,
        host: None,
    };
    tokio::spawn(input.run(connections));
    handle
}

impl Input {
    async fn run(mut self, mut connections: mpsc::Receiver<Connection>) {
        loop {
            match self.wait(&mut connections).await {
                Happened::Connected(connection) => self.connect(connection).await,
                Happened::Removed => return,
                Happened::Arrived(count) => self.arrived(count.unwrap_or(0)).await,
                Happened::Writable(writable) => self.write(writable).await,
            }
        }
    }

    async fn wait(&mut self, connections: &mut mpsc::Receiver<Connection>) -> Happened {
        let Self { sink, host, .. } = self;
        let complete = host.as_ref().is_some_and(Writer::is_complete);
        let may_read = host.is_some() && !complete;
        tokio::select! {
            connection = connections.recv() => connection.map_or(Happened::Removed, Happened::Connected),
            count = async {
                match host {
                    Some(writer) => writer.receive().await,
                    None => std::future::pending().await,
                }
            }, if may_read => Happened::Arrived(count),
            writable = async {
                match sink {
                    Some(sink) => sink.writable().await.map(|_guard| ()),
                    None => std::future::pending().await,
                }
            }, if complete => Happened::Writable(writable),
        }
    }

    /// A newer connection takes over; what the old one had sent of an unfinished chunk is dropped, and sent again.
    async fn connect(&mut self, connection: Connection) {
        let reason = if let Some(over) = self.over {
            Some(over.to_owned())
        } else if connection.offset > self.taken {
            let (offset, taken) = (connection.offset, self.taken);
            Some(format!(
                "offset {offset} would leave a gap: {taken} bytes have arrived"
            ))
        } else {
            None
        };
        let opened = match reason {
            Some(reason) => Opened::Refused { reason },
            None => {
                self.host = None;
                Opened::Ready { offset: self.taken }
            }
        };
        if let Some(host) = Host::welcome(connection, opened).await {
            self.host = Some(Writer {
                host,
                length: [0; 4],
                arrived: 0,
                chunk: Vec::new(),
                announced: 0,
                given: 0,
            });
        }
    }

    async fn arrived(&mut self, count: usize) {
        let Some(writer) = &mut self.host else { return };
        if count == 0 {
            self.host = None;
            return;
        }
        match writer.advance(count) {
            Ok(false) => {}
            Ok(true) => self.end().await,
            Err(TooLong) => self.host = None,
        }
    }

    /// The host has said that nothing follows.
    async fn end(&mut self) {
        let Some(sink) = self.sink.take() else { return };
        self.over = Some("the process's standard input has been ended");
        if self.terminal {
            // Where the terminal's queue stays full, nobody reads, and nobody misses the end.
            if let Ok(Ok(_guard)) = timeout(ANSWER_DEADLINE, sink.writable()).await {
                drop(sink.get_ref().write(&[END_OF_TRANSMISSION]));
            }
        }
    }

    async fn write(&mut self, writable: io::Result<()>) {
        let (Some(sink), Some(writer)) = (&self.sink, &mut self.host) else {
            return;
        };
        let rest = writer.chunk.get(writer.given..).unwrap_or_default();
        let wrote =
            writable.and_then(|()| sink.try_io(Interest::WRITABLE, |mut file| file.write(rest)));
        match wrote {
            Ok(count) => {
                self.taken += u64::try_from(count).unwrap_or(0);
                writer.given += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            // EPIPE, or EIO of a terminal: nobody will ever read it.
            Err(_closed) => {
                self.sink = None;
                self.over = Some("the process has closed its standard input");
                self.host = None;
                return;
            }
        }
        if writer.given == writer.chunk.len() {
            writer.next_chunk();
            if writer.host.answer(&self.taken.to_le_bytes()).await.is_err() {
                self.host = None;
            }
        }
    }
}

/// A chunk over the limit.
#[derive(Debug)]
struct TooLong;

impl Writer {
    /// A whole chunk is here and waits for the process.
    fn is_complete(&self) -> bool {
        self.announced > 0 && self.chunk.len() == self.announced && self.arrived == self.announced
    }

    /// One read of what comes next. May be dropped and called again: it changes nothing but the buffers.
    async fn receive(&mut self) -> io::Result<usize> {
        if self.announced == 0 {
            let rest = self.length.get_mut(self.arrived..).unwrap_or_default();
            self.host.reader.read(rest).await
        } else {
            let rest = self.chunk.get_mut(self.arrived..).unwrap_or_default();
            self.host.reader.read(rest).await
        }
    }

    /// Counts what `receive` has read. True at the end of file.
    fn advance(&mut self, count: usize) -> Result<bool, TooLong> {
        self.arrived += count;
        if self.announced > 0 || self.arrived < self.length.len() {
            return Ok(false);
        }
        let length = u32::from_le_bytes(self.length);
        let length = usize::try_from(length).map_err(|_huge| TooLong)?;
        if length > MAX_CHUNK_BYTES {
            return Err(TooLong);
        }
        self.arrived = 0;
        if length == 0 {
            return Ok(true);
        }
        self.announced = length;
        self.chunk = vec![0; length];
        Ok(false)
    }

    fn next_chunk(&mut self) {
        self.chunk = Vec::new();
        self.announced = 0;
        self.arrived = 0;
        self.given = 0;
    }
}
