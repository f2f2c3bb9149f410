//! A client of SPDY/3.1, as Kubernetes' clients speak it: streams with headers over an upgraded HTTP/1.1 connection. Main type: [`Client`];
//! its two halves may be used from two threads. [`command`] has exec and attach on top of it.
//!
//! It shares no line with the server that it tests, and is stricter than Go's: every frame that a server of Kubernetes' would not send is
//! an error.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

pub mod command;
mod dictionary;

/// No answer takes longer, on the slowest machine either.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest data frame that clients make.
const MOST_DATA: usize = 32 << 10;

/// A frame of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Reply {
        stream: u32,
    },
    Reset {
        stream: u32,
        status: u32,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last: u32,
        status: u32,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        fin: bool,
    },
}

/// Answer to a request: its status and its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
}

/// Both halves of a connection.
#[derive(Debug)]
pub struct Client {
    pub reader: Reader,
    pub writer: Writer,
}

/// What the server says.
#[derive(Debug)]
pub struct Reader {
    stream: TcpStream,
    inflate: Decompress,
}

/// What the client says.
#[derive(Debug)]
pub struct Writer {
    stream: TcpStream,
    deflate: Compress,
    next: u32,
}

/// Splits `http://host:port/path`.
pub fn split_url(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").context("the URL is http://")?;
    let (host, _) = rest.split_once('/').context("the URL has a path")?;
    Ok((host, &rest[host.len()..]))
}

/// Sends a request with these header lines and reads the head of the answer, no byte more.
pub fn request(stream: &mut TcpStream, method: &str, url: &str, lines: &[&str]) -> Result<Answer> {
    let (host, path) = split_url(url)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < 64 << 10, "the head of the answer does not end");
        let mut byte = [0];
        let read = stream.read(&mut byte).context("read the answer's head")?;
        ensure!(read == 1, "the connection ended before the answer did");
        head.extend(byte);
    }
    let head = String::from_utf8(head)?;
    let status = head.split(' ').nth(1).context("the answer has a status")?;
    Ok(Answer {
        status: status.parse()?,
        head,
    })
}

/// Connects to a URL's host.
pub fn connect(url: &str) -> Result<TcpStream> {
    let (host, _) = split_url(url)?;
    let stream = TcpStream::connect(host).with_context(|| format!("connect to {host}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Client {
    /// Comes to a URL and agrees on one of these protocols.
    pub fn upgrade(url: &str, protocols: &[&str]) -> Result<Self> {
        let mut stream = connect(url)?;
        let named = format!("X-Stream-Protocol-Version: {}", protocols.join(", "));
        let lines = [
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            "Content-Length: 0",
            &named,
        ];
        let answer = request(&mut stream, "POST", url, &lines)?;
        ensure!(answer.status == 101, "not upgraded: {}", answer.head);
        Self::over(stream)
    }

    /// On a connection that was upgraded already.
    pub fn over(stream: TcpStream) -> Result<Self> {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate.set_dictionary(&dictionary::bytes())?;
        let writer = Writer {
            stream: stream.try_clone()?,
            deflate,
            next: 1,
        };
        let inflate = Decompress::new(true);
        let reader = Reader { stream, inflate };
        Ok(Self { reader, writer })
    }

    /// Opens a stream and waits for its reply, which has to be the next frame.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> Result<u32> {
        let stream = self.writer.open(headers)?;
        match self.reader.next()? {
            Some(Frame::Reply { stream: replied }) if replied == stream => Ok(stream),
            other => bail!("no reply to stream {stream}: {other:?}"),
        }
    }
}

impl Writer {
    /// Sends SYN_STREAM with the next number of a client's.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> Result<u32> {
        let stream = self.next;
        self.next += 2;
        self.open_as(stream, headers)?;
        Ok(stream)
    }

    /// Sends SYN_STREAM with any number.
    pub fn open_as(&mut self, stream: u32, headers: &[(&str, &str)]) -> Result<()> {
        let block = self.block(headers)?;
        let mut body = stream.to_be_bytes().to_vec();
        body.extend([0; 6]);
        body.extend(block);
        self.control(1, 0, &body)
    }

    /// A compressed block of headers; each has to be sent, in this order.
    pub fn block(&mut self, headers: &[(&str, &str)]) -> Result<Vec<u8>> {
        let word = |number: usize| u32::try_from(number).map(u32::to_be_bytes);
        let mut plain = word(headers.len())?.to_vec();
        for (name, value) in headers {
            plain.extend(word(name.len())?);
            plain.extend(name.as_bytes());
            plain.extend(word(value.len())?);
            plain.extend(value.as_bytes());
        }
        self.deflate(&plain)
    }

    /// Compresses what a block holds.
    pub fn deflate(&mut self, plain: &[u8]) -> Result<Vec<u8>> {
        let mut block = Vec::with_capacity(plain.len() + 4096);
        let before = self.deflate.total_in();
        self.deflate
            .compress_vec(plain, &mut block, FlushCompress::Sync)?;
        let taken = usize::try_from(self.deflate.total_in() - before)?;
        ensure!(
            taken == plain.len() && block.len() < block.capacity(),
            "the block fits"
        );
        Ok(block)
    }

    /// Sends a control frame of version 3.
    pub fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<()> {
        let mut frame = vec![0x80, 3];
        frame.extend(kind.to_be_bytes());
        frame.push(flags);
        frame.extend(&u32::try_from(body.len())?.to_be_bytes()[1..]);
        frame.extend(body);
        self.raw(&frame)
    }

    /// Sends data in one frame, and says with it that this is all.
    pub fn data(&mut self, stream: u32, bytes: &[u8], fin: bool) -> Result<()> {
        let mut frame = stream.to_be_bytes().to_vec();
        frame.push(u8::from(fin));
        frame.extend(&u32::try_from(bytes.len())?.to_be_bytes()[1..]);
        frame.extend(bytes);
        self.raw(&frame)
    }

    /// Sends all that a reader has, in frames as Go makes them, then the end.
    pub fn all_of(&mut self, stream: u32, mut from: impl Read) -> Result<()> {
        let mut buffer = vec![0; MOST_DATA];
        loop {
            match from.read(&mut buffer)? {
                0 => return self.data(stream, &[], true),
                length => self.data(stream, &buffer[..length], false)?,
            }
        }
    }

    pub fn reset(&mut self, stream: u32) -> Result<()> {
        self.control(3, 0, &[stream.to_be_bytes(), 5_u32.to_be_bytes()].concat())
    }

    pub fn ping(&mut self, id: u32) -> Result<()> {
        self.control(6, 0, &id.to_be_bytes())
    }

    pub fn goaway(&mut self) -> Result<()> {
        self.control(7, 0, &[0; 8])
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Closes the connection for both halves.
    pub fn close(&self) -> Result<()> {
        Ok(self.stream.shutdown(Shutdown::Both)?)
    }
}

impl Reader {
    /// The next frame; `None` when the server has closed its half.
    #[expect(
        clippy::should_implement_trait,
        reason = "each may fail, and a test stops there"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>> {
        let mut head = [0; 8];
        if self.stream.read(&mut head[..1]).context("read a frame")? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut head[1..])?;
        let [a, b, c, d, flags, length @ ..] = head;
        let [high, middle, low] = length;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low]))?];
        self.stream.read_exact(&mut body)?;
        if a & 0x80 == 0 {
            ensure!(flags <= 1, "flags of a data frame: {flags}");
            return Ok(Some(Frame::Data {
                stream: u32::from_be_bytes([a, b, c, d]),
                bytes: body,
                fin: flags == 1,
            }));
        }
        ensure!([a, b] == [0x80, 3], "version {a:x} {b:x}");
        ensure!(flags == 0, "flags of a control frame: {flags}");
        self.control(u16::from_be_bytes([c, d]), &body).map(Some)
    }

    /// Frames until the server closes; the last must be GOAWAY.
    pub fn rest(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next()? {
            ensure!(
                !matches!(frames.last(), Some(Frame::GoAway { .. })),
                "a frame behind GOAWAY: {frame:?}"
            );
            frames.push(frame);
        }
        Ok(frames)
    }

    fn control(&mut self, kind: u16, body: &[u8]) -> Result<Frame> {
        let words: Vec<u32> = body
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        match (kind, words.as_slice(), body.len()) {
            (2, [stream, ..], _) => {
                self.empty_block(&body[4..])?;
                Ok(Frame::Reply { stream: *stream })
            }
            (3, [stream, status], 8) => Ok(Frame::Reset {
                stream: *stream,
                status: *status,
            }),
            (6, [id], 4) => Ok(Frame::Ping { id: *id }),
            (7, [last, status], 8) => Ok(Frame::GoAway {
                last: *last,
                status: *status,
            }),
            // Go closes the connection at a control frame that it does not know.
            _ => bail!("a server sends no control frame of type {kind} with {body:?}"),
        }
    }

    /// Inflates a block; it has to be without headers, and to end as Go's inflater needs it.
    fn empty_block(&mut self, mut block: &[u8]) -> Result<()> {
        ensure!(
            block.ends_with(&[0, 0, 0, 0xff, 0xff]),
            "no empty stored block at the end: {block:x?}"
        );
        let mut plain = Vec::with_capacity(64);
        loop {
            let before = self.inflate.total_in();
            let flush = FlushDecompress::Sync;
            let inflated = self.inflate.decompress_vec(block, &mut plain, flush);
            block = &block[usize::try_from(self.inflate.total_in() - before)?..];
            match inflated {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary::bytes())?;
                }
                Err(error) => bail!("inflate a reply: {error}"),
                Ok(Status::StreamEnd) => bail!("the compression of replies ended"),
                Ok(_) if block.is_empty() => break,
                Ok(_) => {}
            }
        }
        ensure!(plain == [0; 4], "a reply without headers: {plain:?}");
        Ok(())
    }
}
