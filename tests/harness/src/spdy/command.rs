//! Exec and attach with a [`Client`]. Main types: [`Command`], an open session; [`Outcome`], what a command left.

use std::io::{Read, Write};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::{Client, Frame, Reader, Writer};

/// The newest first, as Kubernetes' clients name them.
pub const PROTOCOLS: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// The streams that a session has, besides `error`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// A session whose streams are open; the numbers are 0 for those that were not asked for.
#[derive(Debug)]
pub struct Command {
    pub client: Client,
    pub error: u32,
    pub stdin: u32,
    pub stdout: u32,
    pub stderr: u32,
    pub resize: u32,
}

/// What a command left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// What came on `error`.
    pub status: String,
}

impl Command {
    /// Comes to a URL of Exec or Attach and opens the streams in the order in which Kubernetes' clients do.
    pub fn open(url: &str, streams: Streams) -> Result<Self> {
        let client = Client::upgrade(url, PROTOCOLS)?;
        let mut command = Self {
            client,
            error: 0,
            stdin: 0,
            stdout: 0,
            stderr: 0,
            resize: 0,
        };
        let mut open = |wanted: bool, kind: &str| match wanted {
            true => command.client.open(&[("streamtype", kind)]),
            false => Ok(0),
        };
        let error = open(true, "error")?;
        let stdin = open(streams.stdin, "stdin")?;
        let stdout = open(streams.stdout, "stdout")?;
        let stderr = open(streams.stderr, "stderr")?;
        let resize = open(streams.tty, "resize")?;
        Ok(Self {
            error,
            stdin,
            stdout,
            stderr,
            resize,
            ..command
        })
    }

    /// Tells the size of the window.
    pub fn resize(&mut self, columns: u16, rows: u16) -> Result<()> {
        let size = format!("{{\"Width\":{columns},\"Height\":{rows}}}\n");
        self.client.writer.data(self.resize, size.as_bytes(), false)
    }

    /// Sends all input, while reading all output, and closes the input when it has ended.
    pub fn finish(self, input: impl Read + Send) -> Result<Outcome> {
        let mut stdout = Vec::new();
        let outcome = self.finish_into(input, &mut stdout)?;
        Ok(Outcome { stdout, ..outcome })
    }

    /// Like [`Self::finish`], with stdout going elsewhere.
    pub fn finish_into(self, input: impl Read + Send, stdout: &mut dyn Write) -> Result<Outcome> {
        let Self {
            client,
            error,
            stdin,
            stdout: out,
            stderr,
            ..
        } = self;
        let Client { mut reader, writer } = client;
        thread::scope(|scope| {
            // A command may end without reading all, and the connection with it.
            scope.spawn(move || send_input(writer, stdin, input).ok());
            read_output(&mut reader, [error, out, stderr], stdout)
        })
    }

    /// Reads stdout until it holds a text; everything up to there.
    pub fn read_until(&mut self, text: &str) -> Result<String> {
        let mut read = Vec::new();
        loop {
            let so_far = String::from_utf8_lossy(&read).into_owned();
            if so_far.contains(text) {
                return Ok(so_far);
            }
            match self.client.reader.next()? {
                Some(Frame::Data { stream, bytes, .. }) if stream == self.stdout => {
                    read.extend(bytes);
                }
                Some(Frame::Data { .. }) => {}
                other => bail!("waiting for {text:?}, after {so_far:?}: {other:?}"),
            }
        }
    }
}

impl Outcome {
    /// The exit code that the status says.
    pub fn code(&self) -> Result<u8> {
        let status: serde_json::Value =
            serde_json::from_str(&self.status).with_context(|| self.status.clone())?;
        if status["status"] == "Success" {
            return Ok(0);
        }
        let causes = status["details"]["causes"].as_array();
        let code = causes
            .into_iter()
            .flatten()
            .find(|cause| cause["reason"] == "ExitCode");
        let code = code.and_then(|cause| cause["message"].as_str());
        code.with_context(|| format!("no exit code: {status}"))?
            .parse()
            .context("an exit code of 8 bits")
    }
}

fn send_input(mut writer: Writer, stdin: u32, input: impl Read) -> Result<()> {
    match stdin {
        0 => Ok(()),
        stdin => writer.all_of(stdin, input),
    }
}

/// Reads to the end of the connection, and checks its order: nothing behind the end of a stream, the status behind both outputs.
fn read_output(
    reader: &mut Reader,
    [error, out, err]: [u32; 3],
    stdout: &mut dyn Write,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut status = Vec::new();
    let mut ended = Vec::new();
    loop {
        let (stream, bytes, fin) = match reader.next()? {
            Some(Frame::Data { stream, bytes, fin }) => (stream, bytes, fin),
            // Kubernetes' own server ends the stream of errors so.
            Some(Frame::Reset { stream, .. }) if stream == error => {
                ended.push(stream);
                continue;
            }
            Some(Frame::Reset { .. } | Frame::Ping { .. }) => continue,
            Some(Frame::GoAway { .. }) => break,
            other => bail!("in the middle of a command: {other:?}"),
        };
        ensure!(!ended.contains(&stream), "data behind the end of {stream}");
        if stream == out {
            stdout.write_all(&bytes)?;
        } else if stream == err {
            outcome.stderr.extend(bytes);
        } else if stream == error {
            let outputs = [out, err].into_iter().filter(|output| *output != 0);
            for output in outputs {
                ensure!(
                    ended.contains(&output),
                    "the status before the end of {output}"
                );
            }
            status.extend(bytes);
        } else {
            bail!("data on stream {stream}");
        }
        if fin {
            ended.push(stream);
        }
    }
    ensure!(reader.next()?.is_none(), "a frame behind GOAWAY");
    ensure!(ended.contains(&error), "the stream of errors did not end");
    outcome.status = String::from_utf8(status)?;
    Ok(outcome)
}
