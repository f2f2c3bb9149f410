//! Exec and attach over WebSocket. Main function: [`command`]. Above: `session`. Below: `connection`, `remote_command`.

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};

use super::{
    connection::{self, Channels, Ends},
    message::Encoding,
};
use crate::{
    agree::Version,
    backend::Backend,
    deadlines::Deadlines,
    limits,
    pipe::{self, Inbound, Outbound, Piece},
    remote_command::{self, Command},
    spdy::Socket,
};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Serves one exec or attach on a socket that speaks WebSocket.
pub(crate) async fn command<R, W>(
    socket: Socket<R, W>,
    backend: &impl Backend,
    command: Command,
    (version, encoding): (Version, Encoding),
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let asked = command.streams();
    let (queue, frames) = mpsc::channel(limits::FRAMES_AHEAD);
    let (here, gone) = oneshot::channel();
    let mut inputs = Vec::new();
    let stdin = asked.stdin.then(|| input(STDIN, &mut inputs));
    let sizes = asked.tty.then(|| input(RESIZE, &mut inputs));
    let output = |channel: u8| Outbound::new(u32::from(channel), queue.clone());
    let ends = remote_command::Ends {
        stdin,
        sizes,
        stdout: asked.stdout.then(|| output(STDOUT)),
        stderr: asked.stderr.then(|| output(STDERR)),
        error: output(ERROR),
        gone,
    };
    let channels = Channels {
        encoding,
        ends: match version {
            Version::V5 => Ends::Said,
            _ => Ends::NotSaid,
        },
        inputs,
    };
    drop(queue);
    let session = async {
        // Clients wait for a first message, on the first channel that they read.
        let first = ends.stdout.as_ref().or(ends.stderr.as_ref());
        let greeted = first.unwrap_or(&ends.error).data(Bytes::new()).await;
        if greeted.is_ok() {
            remote_command::run(backend, command, ends, version.report(), deadlines.farewell).await;
        }
    };
    let socket = connection::open(socket).await;
    tokio::join!(
        session,
        connection::serve(socket, channels, frames, here, deadlines)
    );
}

fn input(channel: u8, inputs: &mut Vec<(u8, mpsc::Sender<Piece>)>) -> Inbound {
    let (pieces, inbound) = pipe::inbound();
    inputs.push((channel, pieces));
    inbound
}
