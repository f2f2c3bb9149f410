//! Exec and attach over SPDY: which streams a client opens, and what is left to say about them. Main function: [`over_spdy`]. Above:
//! `session`. Below: `spdy`, [`super::run`].
//!
//! Clients open their streams one after the other and wait for each reply, so each is admitted at once; the process starts when all that
//! were agreed on are there. They are told apart by their header, for nothing promises their order.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{Command, Ends, run};
use crate::{
    agree::Version,
    backend::{Asked, Backend},
    deadlines::Deadlines,
    spdy::{self, Admission, Headers, Opened, Socket, Stream},
};

#[cfg(test)]
mod tests;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    Stdin,
    Stdout,
    Stderr,
    Resize,
}

/// Serves one exec or attach on a socket that speaks SPDY.
pub(crate) async fn over_spdy<R, W>(
    socket: Socket<R, W>,
    backend: &impl Backend,
    command: Command,
    version: Version,
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let wanted = wanted(command.streams(), version);
    let count = wanted.len();
    spdy::serve(socket, admission(wanted), deadlines, async move |opened| {
        session(opened, backend, command, (version, count), deadlines).await;
    })
    .await;
}

async fn session(
    mut opened: Opened,
    backend: &impl Backend,
    command: Command,
    (version, count): (Version, usize),
    deadlines: &Deadlines,
) {
    let Ok(found) = timeout(deadlines.streams, collect(&mut opened, count)).await else {
        tracing::debug!("a client did not open the streams that were agreed on");
        return;
    };
    // Whatever else it opens is refused from here on.
    drop(opened.streams);
    let Some(error) = found.error else {
        return;
    };
    let inputs = [&found.stdin, &found.resize].map(|input| input.as_ref().map(|it| it.to.clone()));
    let ends = Ends {
        stdin: found.stdin.map(|stream| stream.from),
        sizes: found.resize.map(|stream| stream.from),
        stdout: found.stdout.map(|stream| stream.to),
        stderr: found.stderr.map(|stream| stream.to),
        error: error.to,
        gone: opened.gone,
    };
    run(backend, command, ends, version.report(), deadlines.farewell).await;
    for input in inputs.into_iter().flatten() {
        if input.reset().await.is_err() {
            return;
        }
    }
}

/// A client's streams.
#[derive(Default)]
struct Found {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// Waits for the streams, each of which is admitted once. Without `error` the client is gone.
async fn collect(opened: &mut Opened, count: usize) -> Found {
    let mut found = Found::default();
    for _ in 0..count {
        let Some(stream) = opened.streams.recv().await else {
            return Found::default();
        };
        let place = match kind(&stream.headers) {
            Some(Kind::Error) => &mut found.error,
            Some(Kind::Stdin) => &mut found.stdin,
            Some(Kind::Stdout) => &mut found.stdout,
            Some(Kind::Stderr) => &mut found.stderr,
            Some(Kind::Resize) => &mut found.resize,
            None => continue,
        };
        *place = Some(stream);
    }
    found
}

/// The streams that a client has to open.
fn wanted(asked: Asked, version: Version) -> Vec<Kind> {
    let all = [
        (Kind::Error, true),
        (Kind::Stdin, asked.stdin),
        (Kind::Stdout, asked.stdout),
        (Kind::Stderr, asked.stderr),
        (Kind::Resize, asked.tty && version.has_resize()),
    ];
    let wanted = all.into_iter().filter(|(_, wanted)| *wanted);
    wanted.map(|(kind, _)| kind).collect()
}

/// Admits each of these once.
fn admission(mut wanted: Vec<Kind>) -> Admission {
    Box::new(move |_id, headers| {
        let kind = kind(headers);
        let place = wanted.iter().position(|wanted| Some(*wanted) == kind);
        place.map(|place| wanted.swap_remove(place)).is_some()
    })
}

fn kind(headers: &Headers) -> Option<Kind> {
    match headers.get("streamtype")? {
        "error" => Some(Kind::Error),
        "stdin" => Some(Kind::Stdin),
        "stdout" => Some(Kind::Stdout),
        "stderr" => Some(Kind::Stderr),
        "resize" => Some(Kind::Resize),
        _ => None,
    }
}
