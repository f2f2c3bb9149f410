//! Exec and attach: a process' streams to a client's, and how it ended (remotecommand, versions 1 to 5 of channel.k8s.io). Main function:
//! [`run`], the same for SPDY and WebSocket. Above: `over_spdy`, `web_socket`. Below: the [`Backend`].
//!
//! ```text
//! client opened its streams ─► backend is asked ─┬─ refused ──────────────────────────────┐
//!                                                └─ process: input, sizes, outputs beside  │
//!                                                   each other, until both outputs ended   ▼
//!                                                   and its end is told ─► ends of outputs, status, end of `error`
//! ```
//!
//! From the first step on, a client that is gone ends it all: its last input is given on, and dropping the process tells the backend.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use model::WindowSize;
use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    backend::{Asked, Attach, Backend, End, Exec, Process, Refusal, Sink, Source},
    pipe::{self, Fed, Gone, Inbound, Outbound, Piece},
};

mod over_spdy;
mod sizes;
mod status;
pub(crate) use over_spdy::over_spdy;
pub(crate) use status::Report;

/// What is run, or connected to.
#[derive(Debug)]
pub(crate) enum Command {
    Exec(Exec),
    Attach(Attach),
}

/// A client's ends of a process' streams: those that were asked for.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdin: Option<Inbound>,
    pub(crate) sizes: Option<Inbound>,
    pub(crate) stdout: Option<Outbound>,
    pub(crate) stderr: Option<Outbound>,
    /// Where it is told how the process ended.
    pub(crate) error: Outbound,
    /// Ends when the client is gone.
    pub(crate) gone: oneshot::Receiver<Infallible>,
}

impl Command {
    pub(crate) fn streams(&self) -> Asked {
        match self {
            Self::Exec(exec) => exec.streams,
            Self::Attach(attach) => attach.streams,
        }
    }

    async fn start(self, backend: &impl Backend) -> Result<Process, Refusal> {
        match self {
            Self::Exec(exec) => backend.exec(exec).await,
            Self::Attach(attach) => backend.attach(attach).await,
        }
    }
}

/// Runs a command for a client until it has ended or the client is gone.
///
/// A client that says something and goes has said it: what lies in the queues is given to the process for as long as `farewell` says.
pub(crate) async fn run(
    backend: &impl Backend,
    command: Command,
    ends: Ends,
    report: Report,
    farewell: Duration,
) {
    let Ends {
        stdin,
        sizes,
        stdout,
        stderr,
        error,
        mut gone,
    } = ends;
    let tty = command.streams().tty;
    let output = Output { stdout, stderr };
    let started = tokio::select! {
        started = command.start(backend) => started,
        _gone = &mut gone => return,
    };
    let end = match started {
        Err(Refusal(why)) => output.end().await.map(|()| End::Failed(why)),
        Ok(process) => {
            let input = Input { stdin, sizes, tty };
            carry(process, input, &output, (gone, farewell)).await
        }
    };
    let told = async {
        let status = status::status(&end?, report);
        if !status.is_empty() {
            error.data(Bytes::from(status)).await?;
        }
        error.end().await
    };
    if told.await.is_err() {
        tracing::debug!("a streaming client went before its command had ended");
    }
}

/// What a client sends.
struct Input {
    stdin: Option<Inbound>,
    sizes: Option<Inbound>,
    tty: bool,
}

/// Where a client reads.
struct Output {
    stdout: Option<Outbound>,
    stderr: Option<Outbound>,
}

impl Output {
    async fn end(&self) -> Result<(), Gone> {
        for outbound in [&self.stdout, &self.stderr].into_iter().flatten() {
            outbound.end().await?;
        }
        Ok(())
    }
}

/// Moves bytes both ways until the process has ended and all of its output is on its way, or the client is gone.
async fn carry(
    process: Process,
    input: Input,
    output: &Output,
    (gone, farewell): (oneshot::Receiver<Infallible>, Duration),
) -> Result<End, Gone> {
    let Process {
        stdin,
        stdout,
        stderr,
        sizes,
        end,
    } = process;
    let outputs = async {
        tokio::try_join!(
            pour(stdout, output.stdout.as_ref()),
            pour(stderr, output.stderr.as_ref())
        )
    };
    let ended = async {
        let (poured, end) = tokio::join!(outputs, end);
        let unsaid = |_dropped| End::Failed("it is not known how the process ended".to_owned());
        poured.map(|_both| end.unwrap_or_else(unsaid))
    };
    let inputs = async {
        tokio::join!(
            give_stdin(input.stdin, stdin, input.tty),
            give_sizes(input.sizes, &sizes)
        );
    };
    tokio::pin!(ended, inputs, gone);
    // Input that has ended ends nothing.
    let mut given = false;
    loop {
        tokio::select! {
            ended = &mut ended => return ended,
            () = &mut inputs, if !given => given = true,
            _gone = &mut gone => break,
        }
    }
    if !given && timeout(farewell, inputs).await.is_err() {
        tracing::debug!("the last input of a client that is gone was not taken");
    }
    Err(Gone)
}

async fn pour(from: Option<Source>, to: Option<&Outbound>) -> Result<(), Gone> {
    match (from, to) {
        (Some(from), Some(to)) => pipe::pour(from, to).await,
        (None, Some(to)) => to.end().await,
        (_, None) => Ok(()),
    }
}

/// Gives a process its input until there is no more, or nobody takes it.
async fn give_stdin(from: Option<Inbound>, to: Option<Sink>, tty: bool) {
    let (Some(mut from), Some(mut to)) = (from, to) else {
        return;
    };
    match pipe::feed(&mut from, &mut to).await {
        // A terminal stays: its input ends with the session.
        Fed::Whole if tty => from.reset().await,
        Fed::Whole => {
            if let Err(error) = to.shutdown().await {
                tracing::debug!(%error, "the input of a process did not close");
            }
        }
        Fed::NotTaken | Fed::Reset => {}
    }
}

/// Tells a terminal its sizes until there are no more.
async fn give_sizes(from: Option<Inbound>, to: &mpsc::Sender<WindowSize>) {
    let Some(mut from) = from else {
        return;
    };
    let mut reader = sizes::Reader::default();
    while let Some(Piece::Data(bytes)) = from.next().await {
        let sizes = match reader.sizes(&bytes) {
            Ok(sizes) => sizes,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a client tells no more sizes"
                );
                return;
            }
        };
        for size in sizes {
            if to.send(size).await.is_err() {
                return;
            }
        }
    }
}
