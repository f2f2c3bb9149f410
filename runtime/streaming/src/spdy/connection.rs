//! One connection of SPDY/3.1, server side. Main function: [`serve`], which runs a session over a socket. Above: the sessions. Below:
//! [`super::frame`], [`super::headers`].
//!
//! Two loops and the session run beside each other in one task:
//!
//! ```text
//! socket ─► read: decode, inflate ─► a bounded queue per stream ─► session
//!             └► answers ─┐
//! socket ◄─ write ◄───────┴──────── one bounded queue of frames ◄─ session
//! ```
//!
//! There is no flow control (no client of Kubernetes knows it): a stream whose queue is full stops the reading of all, as in Kubernetes'
//! own server; a stream whose receiver was dropped swallows what comes, and a client that goes meanwhile is seen by [`Hangup`]. The end comes from either side:
//! - the session drops its streams: write sends what is left, then GOAWAY, and closes its half; what the client still sends is read and
//!   dropped until it closes too, for unread bytes would make the kernel reset the connection and lose the last words;
//! - the client closes, says GOAWAY or breaks the protocol: the session's streams end, [`Opened::gone`] with them.

use std::{convert::Infallible, io, pin::pin};

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf,
        split,
    },
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    frame::{self, Decoder, Event, Farewell, FrameError, Reset},
    headers::{HeaderError, Headers, Inflater, ReplyBlocks},
    streams::Streams,
};
use crate::{
    deadlines::Deadlines,
    hangup::{Hangup, HungUp},
    limits,
    pipe::{Inbound, Outbound, Outgoing},
};

/// Whether a stream with these headers may be; it is replied to, or refused, at once.
pub(crate) type Admission = Box<dyn FnMut(u32, &Headers) -> bool + Send>;

/// A stream that a client opened and that was admitted.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) headers: Headers,
    pub(crate) from: Inbound,
    pub(crate) to: Outbound,
}

/// What a session sees of its connection.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Streams in the order in which the client opened them; ends when it is gone.
    pub(crate) streams: mpsc::Receiver<Stream>,
    /// Ends when the client is gone.
    pub(crate) gone: oneshot::Receiver<Infallible>,
    /// The connection lasts as long as this or one of its streams.
    pub(crate) _open: mpsc::Sender<Outgoing>,
}

/// The socket, in two halves, and what was read of it already.
#[derive(Debug)]
pub(crate) struct Socket<R, W> {
    pub(crate) reader: R,
    pub(crate) writer: W,
    pub(crate) buffered: Bytes,
    pub(crate) hangup: Hangup,
}

impl Socket<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>> {
    /// An end of a pipe within this process, and what was read from it already.
    pub(crate) fn within(end: DuplexStream, buffered: Bytes) -> Self {
        let (reader, writer) = split(end);
        Self {
            reader,
            writer,
            buffered,
            hangup: Hangup::never(),
        }
    }
}

/// What the reader has the writer say.
enum Answer {
    Reply { stream: u32 },
    Reset { stream: u32, why: Reset },
    Ping { id: u32 },
    Broken,
}

/// Why nothing more is read.
#[derive(Debug, Error)]
enum ReadError {
    #[error("read from the client")]
    Read(#[source] io::Error),
    #[error("decode what the client sends")]
    Frame(#[source] FrameError),
    #[error("read a stream's headers")]
    Headers(#[source] HeaderError),
    #[error("open stream {0}: a client's streams are odd and their numbers go up")]
    Number(u32),
    #[error(transparent)]
    HungUp(#[from] HungUp),
    #[error("answer: nothing is written any more")]
    NotWritten,
}

/// Runs a session over a socket until both are done. Dropping the future drops both.
pub(crate) async fn serve<R, W, S>(
    socket: Socket<R, W>,
    admission: Admission,
    deadlines: &Deadlines,
    session: impl FnOnce(Opened) -> S,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: Future<Output = ()>,
{
    let (open, frames) = mpsc::channel(limits::FRAMES_AHEAD);
    let (answer, answers) = mpsc::channel(limits::ANSWERS_AHEAD);
    let (opened, streams) = mpsc::channel(limits::OPENED_AHEAD);
    let (here, gone) = oneshot::channel();
    let reading = Reading {
        decoder: Decoder::new(BytesMut::from(socket.buffered)),
        inflater: Inflater::default(),
        streams: Streams::default(),
        admission,
        opened,
        answer,
        frames: open.downgrade(),
        hangup: socket.hangup,
        _here: here,
    };
    let mut writing = Writing {
        socket: socket.writer,
        blocks: ReplyBlocks::default(),
        last: 0,
        gone: false,
    };
    let mut reader = socket.reader;
    let carry = async {
        if carry(
            reading,
            &mut reader,
            &mut writing,
            answers,
            frames,
            deadlines,
        )
        .await
        {
            say_goodbye(&mut reader, deadlines).await;
        }
    };
    let opened = Opened {
        streams,
        gone,
        _open: open,
    };
    tokio::join!(session(opened), carry);
}

/// Reads and writes until the session is over or the client is gone; whether all that was to be said could be written.
async fn carry<R, W>(
    reading: Reading,
    reader: &mut R,
    writing: &mut Writing<W>,
    answers: mpsc::Receiver<Answer>,
    frames: mpsc::Receiver<Outgoing>,
    deadlines: &Deadlines,
) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut written = pin!(writing.run(answers, frames, deadlines));
    // Ends with all that it holds, which is how the session hears of it.
    let read = reading.run(reader);
    tokio::select! {
        written = &mut written => {
            if let Err(error) = &written {
                tracing::debug!(%error, "a streaming client takes nothing more");
            }
            return written.is_ok();
        }
        read = read => {
            if let Err(error) = read {
                tracing::debug!(error = &error as &dyn std::error::Error, "a streaming connection broke");
            }
        }
    }
    let written = timeout(deadlines.farewell, written).await;
    if written.is_err() {
        tracing::debug!("a streaming client went without taking what was left for it");
    }
    matches!(written, Ok(Ok(())))
}

/// Reads until the client has closed its half.
async fn say_goodbye(reader: &mut (impl AsyncRead + Unpin), deadlines: &Deadlines) {
    let mut unread = BytesMut::with_capacity(limits::READ_BYTES);
    let drained = timeout(deadlines.farewell, async {
        while matches!(reader.read_buf(&mut unread).await, Ok(1..)) {
            unread.clear();
        }
    });
    if drained.await.is_err() {
        tracing::debug!("a streaming client did not close its half");
    }
}

/// The way in.
struct Reading {
    decoder: Decoder,
    inflater: Inflater,
    streams: Streams,
    admission: Admission,
    opened: mpsc::Sender<Stream>,
    answer: mpsc::Sender<Answer>,
    frames: mpsc::WeakSender<Outgoing>,
    hangup: Hangup,
    /// Dropped with the rest when the client is gone.
    _here: oneshot::Sender<Infallible>,
}

impl Reading {
    async fn run(mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<(), ReadError> {
        let read = self.events(reader).await;
        if matches!(
            read,
            Err(ReadError::Frame(_) | ReadError::Headers(_) | ReadError::Number(_))
        ) {
            self.say(Answer::Broken).await?;
        }
        read
    }

    async fn events(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<(), ReadError> {
        while let Some(event) = self.event(reader).await? {
            if event == Event::GoAway {
                break;
            }
            self.take(event).await?;
        }
        Ok(())
    }

    async fn event(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Event>, ReadError> {
        loop {
            if let Some(event) = self.decoder.next().map_err(ReadError::Frame)? {
                return Ok(Some(event));
            }
            let read = reader.read_buf(self.decoder.room()).await;
            if read.map_err(ReadError::Read)? == 0 {
                return Ok(None);
            }
        }
    }

    async fn take(&mut self, event: Event) -> Result<(), ReadError> {
        match event {
            Event::Open { stream, block, fin } => self.open(stream, &block, fin).await,
            Event::Headers { block } => self.headers(&block).map(|_of_no_interest| ()),
            Event::Reset { stream } => {
                self.streams.remove(stream);
                Ok(())
            }
            // Those with an even number would be answers to ours (2.6.5); we send none.
            Event::Ping { id } if id % 2 == 1 => self.say(Answer::Ping { id }).await,
            Event::Ping { .. } | Event::GoAway => Ok(()),
            Event::Data { stream, bytes, fin } => {
                let given = self.streams.give(stream, bytes, fin);
                Ok(self.hangup.or(given).await?)
            }
        }
    }

    /// The headers of a block; `None` if it has none, but the next block can be read.
    fn headers(&mut self, block: &[u8]) -> Result<Option<Headers>, ReadError> {
        match self.inflater.headers(block) {
            Ok(headers) => Ok(Some(headers)),
            Err(error) if error.is_of_one_stream() => {
                tracing::debug!(%error, "a stream is refused");
                Ok(None)
            }
            Err(error) => Err(ReadError::Headers(error)),
        }
    }

    async fn open(&mut self, stream: u32, block: &[u8], fin: bool) -> Result<(), ReadError> {
        let headers = self.headers(block)?;
        if !self.streams.number(stream) {
            return Err(ReadError::Number(stream));
        }
        let Some(headers) = headers else {
            let why = Reset::ProtocolError;
            return self.say(Answer::Reset { stream, why }).await;
        };
        if !self.admit(stream, headers, fin).await {
            let why = Reset::Refused;
            return self.say(Answer::Reset { stream, why }).await;
        }
        Ok(())
    }

    /// Replies and hands the stream to the session; false if it may not be.
    async fn admit(&mut self, id: u32, headers: Headers, fin: bool) -> bool {
        let Some(queue) = self.frames.upgrade() else {
            return false;
        };
        // A place first: what was replied to is the session's.
        let Ok(place) = self.opened.clone().reserve_owned().await else {
            return false;
        };
        if !self.streams.has_room() || !(self.admission)(id, &headers) {
            return false;
        }
        let from = self.streams.add(id);
        if self.say(Answer::Reply { stream: id }).await.is_err() {
            return false;
        }
        place.send(Stream {
            id,
            headers,
            from,
            to: Outbound::new(id, queue),
        });
        if fin {
            self.streams.give(id, Bytes::new(), true).await;
        }
        true
    }

    async fn say(&mut self, answer: Answer) -> Result<(), ReadError> {
        let said = self.hangup.or(self.answer.send(answer)).await?;
        said.map_err(|_closed| ReadError::NotWritten)
    }
}

/// The way out.
struct Writing<W> {
    socket: W,
    blocks: ReplyBlocks,
    /// The last stream that was replied to.
    last: u32,
    /// GOAWAY was sent.
    gone: bool,
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    /// Writes until the session has dropped its streams; then says goodbye and closes this half.
    async fn run(
        &mut self,
        mut answers: mpsc::Receiver<Answer>,
        mut frames: mpsc::Receiver<Outgoing>,
        deadlines: &Deadlines,
    ) -> io::Result<()> {
        let stalled = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
        loop {
            // A reply goes before what its stream sends.
            let written = tokio::select! {
                biased;
                Some(answer) = answers.recv() => timeout(deadlines.stalled, self.answer(answer)).await,
                frame = frames.recv() => match frame {
                    Some(frame) => timeout(deadlines.stalled, self.frame(frame)).await,
                    None => break,
                },
            };
            written.map_err(stalled)??;
        }
        let goodbye = async {
            if !self.gone {
                let goaway = frame::goaway(self.last, Farewell::Ok);
                self.socket.write_all(&goaway).await?;
            }
            self.socket.shutdown().await
        };
        timeout(deadlines.stalled, goodbye).await.map_err(stalled)?
    }

    async fn answer(&mut self, answer: Answer) -> io::Result<()> {
        let frame = match answer {
            Answer::Reply { stream } => {
                self.last = stream;
                frame::syn_reply(stream, &self.blocks.next())
            }
            Answer::Reset { stream, why } => frame::rst_stream(stream, why),
            Answer::Ping { id } => frame::ping(id),
            Answer::Broken => {
                self.gone = true;
                frame::goaway(self.last, Farewell::ProtocolError)
            }
        };
        self.socket.write_all(&frame).await?;
        self.socket.flush().await
    }

    async fn frame(&mut self, outgoing: Outgoing) -> io::Result<()> {
        match outgoing {
            Outgoing::Data { stream, bytes } => {
                let head = frame::data_head(stream, bytes.len(), false);
                let mut frame = Buf::chain(head.as_slice(), bytes);
                self.socket.write_all_buf(&mut frame).await?;
            }
            Outgoing::End { stream } => {
                let end = frame::data_head(stream, 0, true);
                self.socket.write_all(&end).await?;
            }
            Outgoing::Reset { stream } => {
                let reset = frame::rst_stream(stream, Reset::Cancel);
                self.socket.write_all(&reset).await?;
            }
        }
        // TLS keeps what the socket did not take; without a flush it would stay there.
        self.socket.flush().await
    }
}
