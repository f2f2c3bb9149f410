//! One stream of output, from a process to the host: reads as long as the window has room, sends what the host has not been sent,
//! forgets what the host acknowledges. Its main type is [`Output`]; the task lives until the container is removed.

use std::io::{self, Read};

use agent::stdio::Opened;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    sync::mpsc,
};

use super::{Connection, Host, ProcessEnd, StreamHandle, window::Window};
use crate::deadlines::CONNECTIONS_PER_STREAM;

/// Read from the process at once; a pipe holds as much.
const READ_BYTES: usize = 64 * 1024;

/// One stream of output.
struct Output {
    /// None after the end of the output: every process that could write has closed it.
    source: Option<ProcessEnd>,
    window: Window,
    host: Option<Reader>,
}

/// A host that reads this stream.
struct Reader {
    host: Host,
    /// Offset behind the last byte sent to it.
    sent: u64,
    /// The end of file has been sent.
    finished: bool,
    /// An acknowledgement that is still arriving.
    acknowledgement: [u8; 8],
    arrived: usize,
}

/// What a round of the task waited for.
enum Happened {
    Connected(Connection),
    /// The handle has been dropped.
    Removed,
    Readable(io::Result<()>),
    Sent(io::Result<usize>),
    Arrived(io::Result<usize>),
}

/// Starts the task of a stream.
pub(crate) fn start(source: ProcessEnd) -> StreamHandle {
    let (handle, connections) = mpsc::channel(CONNECTIONS_PER_STREAM);
    let output = Output {
        source: Some(source),
        window: Window::default(),
        host: None,
    };
    tokio::spawn(output.run(connections));
    handle
}

impl Output {
    async fn run(mut self, mut connections: mpsc::Receiver<Connection>) {
        loop {
            match self.wait(&mut connections).await {
                Happened::Connected(connection) => self.connect(connection).await,
                Happened::Removed => return,
                Happened::Readable(readable) => self.read(readable),
                Happened::Sent(sent) => self.sent(sent),
                Happened::Arrived(count) => self.arrived(count.unwrap_or(0)),
            }
            self.finish().await;
        }
    }

    async fn wait(&mut self, connections: &mut mpsc::Receiver<Connection>) -> Happened {
        let Self {
            source,
            window,
            host,
        } = self;
        let may_read = source.is_some() && window.room() > 0;
        let unsent = host
            .as_ref()
            .map(|reader| window.from(reader.sent))
            .unwrap_or_default();
        let may_send = !unsent.is_empty();
        let connected = host.is_some();
        let (mut reading, mut writing) = match host {
            Some(reader) => {
                let rest = reader
                    .acknowledgement
                    .get_mut(reader.arrived..)
                    .unwrap_or_default();
                (
                    Some((&mut reader.host.reader, rest)),
                    Some(&mut reader.host.writer),
                )
            }
            None => (None, None),
        };
        tokio::select! {
            connection = connections.recv() => connection.map_or(Happened::Removed, Happened::Connected),
            count = async {
                match &mut reading {
                    Some((reader, rest)) => reader.read(rest).await,
                    None => std::future::pending().await,
                }
            }, if connected => Happened::Arrived(count),
            count = async {
                match &mut writing {
                    Some(writer) => writer.write(unsent).await,
                    None => std::future::pending().await,
                }
            }, if may_send => Happened::Sent(count),
            readable = async {
                match source {
                    Some(source) => source.readable().await.map(|_guard| ()),
                    None => std::future::pending().await,
                }
            }, if may_read => Happened::Readable(readable),
        }
    }

    /// A newer connection takes over; the old one is closed by being dropped.
    async fn connect(&mut self, connection: Connection) {
        let offset = connection.offset;
        let opened = if self.window.acknowledge(offset) {
            Opened::Ready { offset }
        } else {
            let (start, end) = (self.window.start(), self.window.end());
            let reason = format!("offset {offset} is outside of what is held: {start} to {end}");
            Opened::Refused { reason }
        };
        if matches!(opened, Opened::Ready { .. }) {
            self.host = None;
        }
        if let Some(host) = Host::welcome(connection, opened).await {
            self.host = Some(Reader {
                host,
                sent: offset,
                finished: false,
                acknowledgement: [0; 8],
                arrived: 0,
            });
        }
    }

    fn read(&mut self, readable: io::Result<()>) {
        let Some(source) = &self.source else { return };
        let mut buffer = [0; READ_BYTES];
        let room = self.window.room().min(READ_BYTES);
        // A readiness that turns out stale is cleared, so that the next wait is a real one.
        let result = readable.and_then(|()| {
            source.try_io(Interest::READABLE, |mut file| {
                file.read(buffer.get_mut(..room).unwrap_or_default())
            })
        });
        match result {
            Ok(count) if count > 0 => self.window.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A pipe without writers reads 0, a terminal without processes EIO (pty(7)): both are the end.
            _ => self.source = None,
        }
    }

    fn sent(&mut self, sent: io::Result<usize>) {
        match (sent, &mut self.host) {
            (Ok(count), Some(reader)) if count > 0 => {
                reader.sent += u64::try_from(count).unwrap_or(0);
            }
            _ => self.host = None,
        }
    }

    fn arrived(&mut self, count: usize) {
        let Some(reader) = &mut self.host else { return };
        if count == 0 {
            // The host has gone, or never acknowledges again: it will open the stream anew.
            self.host = None;
            return;
        }
        reader.arrived += count;
        if reader.arrived < reader.acknowledgement.len() {
            return;
        }
        reader.arrived = 0;
        let offset = u64::from_le_bytes(reader.acknowledgement);
        if offset > reader.sent || !self.window.acknowledge(offset) {
            self.host = None;
        }
    }

    /// Tells the host, once, that nothing follows.
    async fn finish(&mut self) {
        let Some(reader) = &mut self.host else { return };
        if self.source.is_some() || reader.finished || reader.sent != self.window.end() {
            return;
        }
        reader.finished = true;
        if reader.host.writer.shutdown().await.is_err() {
            self.host = None;
        }
    }
}
