//! One stream of output, from a process to the host: reads as long as the window has room, sends what the host has not been sent,
//! forgets what the host acknowledges. Its main type is [`Output`]; the task lives until the container is removed.

use std::io::{self, IoSlice, Read};

use agent::stdio::{HELD, MAX_CHUNK_BYTES, Opened};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    sync::mpsc,
};

use super::{Connection, Host, ProcessEnd, StreamHandle, window::Window};
use crate::deadlines::CONNECTIONS_PER_STREAM;

/// Read from the process at once; a pipe holds as much.
const READ_BYTES: usize = 64 * 1024;

/// The length before a chunk.
const HEADER_BYTES: usize = 4;

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
    /// The length of the chunk that is being sent.
    header: [u8; HEADER_BYTES],
    header_left: usize,
    chunk_left: usize,
    /// The chunk that says end of file has been begun.
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
        }
    }

    async fn wait(&mut self, connections: &mut mpsc::Receiver<Connection>) -> Happened {
        let Self {
            source,
            window,
            host,
        } = self;
        let may_read = source.is_some() && window.room() > 0;
        let ended = source.is_none();
        let connected = connections.recv();
        let readable = async {
            match source {
                Some(source) if may_read => source.readable().await.map(|_guard| ()),
                _ => std::future::pending().await,
            }
        };
        let Some(reader) = host else {
            return tokio::select! {
                connection = connected => connection.map_or(Happened::Removed, Happened::Connected),
                readable = readable => Happened::Readable(readable),
            };
        };
        reader.begin_chunk(window, ended);
        let (header, payload) = (reader.unsent_header(), window.from(reader.sent));
        let payload = payload
            .get(..reader.chunk_left.min(payload.len()))
            .unwrap_or_default();
        let may_send = !header.is_empty() || !payload.is_empty();
        let parts = [IoSlice::new(&header), IoSlice::new(payload)];
        let rest = reader
            .acknowledgement
            .get_mut(reader.arrived..)
            .unwrap_or_default();
        let Host { reader, writer } = &mut reader.host;
        tokio::select! {
            connection = connected => connection.map_or(Happened::Removed, Happened::Connected),
            readable = readable => Happened::Readable(readable),
            count = reader.read(rest) => Happened::Arrived(count),
            count = writer.write_vectored(&parts), if may_send => Happened::Sent(count),
        }
    }

    /// A newer connection takes over; the old one is closed by being dropped.
    async fn connect(&mut self, connection: Connection) {
        let offset = match connection.offset {
            HELD => self.window.start(),
            offset => offset,
        };
        let opened = if self.window.acknowledge(offset) {
            self.host = None;
            Opened::Ready { offset }
        } else {
            let (start, end) = (self.window.start(), self.window.end());
            let reason = format!("offset {offset} is outside of what is held: {start} to {end}");
            Opened::Refused { reason }
        };
        if let Some(host) = Host::welcome(connection, opened).await {
            self.host = Some(Reader {
                host,
                sent: offset,
                header: [0; HEADER_BYTES],
                header_left: 0,
                chunk_left: 0,
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
            (Ok(count), Some(reader)) if count > 0 => reader.count(count),
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
}

impl Reader {
    /// When the last chunk has been sent and something follows: that something's length.
    fn begin_chunk(&mut self, window: &Window, ended: bool) {
        if self.header_left > 0 || self.chunk_left > 0 || self.finished {
            return;
        }
        let unsent = window.from(self.sent).len().min(MAX_CHUNK_BYTES);
        if unsent == 0 && !ended {
            return;
        }
        self.header = u32::try_from(unsent).unwrap_or(0).to_le_bytes();
        self.header_left = HEADER_BYTES;
        self.chunk_left = unsent;
        self.finished = unsent == 0;
    }

    fn unsent_header(&self) -> Vec<u8> {
        self.header
            .get(HEADER_BYTES - self.header_left..)
            .unwrap_or_default()
            .to_vec()
    }

    /// The window holds what is sent until it is acknowledged, so `chunk_left` bytes are always there to send.
    fn count(&mut self, sent: usize) {
        let of_header = sent.min(self.header_left);
        let of_chunk = (sent - of_header).min(self.chunk_left);
        self.header_left -= of_header;
        self.chunk_left -= of_chunk;
        self.sent += u64::try_from(of_chunk).unwrap_or(0);
    }
}
