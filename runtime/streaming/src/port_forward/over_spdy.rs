//! Port-forward over SPDY: takes a client's streams, two by two, and carries each pair in a task of its own. Main function:
//! [`over_spdy`]. Above: `session`, `web_socket` (which tunnels SPDY). Below: `spdy`, [`super::forward`].

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    forward,
    pairs::{self, Paired, Pairs},
};
use crate::{
    backend::Backend,
    deadlines::Deadlines,
    spdy::{self, Opened, Socket, Stream},
};

#[cfg(test)]
mod tests;

/// Forwards ports of a sandbox on a socket that speaks SPDY.
pub(crate) async fn over_spdy<R, W>(
    socket: Socket<R, W>,
    backend: &impl Backend,
    sandbox: &str,
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let admission = Box::new(pairs::may_be);
    spdy::serve(socket, admission, deadlines, |opened| {
        session(opened, backend, sandbox.into(), deadlines)
    })
    .await;
}

/// Until the client is gone. What it sent last is given on; every connection that is left after that ends with the set of tasks.
async fn session(
    mut opened: Opened,
    backend: &impl Backend,
    sandbox: Arc<str>,
    deadlines: &Deadlines,
) {
    let mut pairs = Pairs::new(deadlines.streams);
    let mut forwards = JoinSet::new();
    loop {
        let until = pairs.until();
        let unwanted = tokio::select! {
            stream = opened.streams.recv() => match stream.map(|stream| pairs.add(stream)) {
                None => {
                    drop(pairs);
                    return end(forwards, deadlines).await;
                }
                Some(Paired::Waits) => Vec::new(),
                Some(Paired::Twice(stream)) => vec![stream],
                Some(Paired::Whole(whole)) => {
                    let (backend, sandbox) = (backend.clone(), Arc::clone(&sandbox));
                    forwards.spawn(async move { forward(&backend, &sandbox, whole).await });
                    Vec::new()
                }
            },
            Some(_ended) = forwards.join_next() => Vec::new(),
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => pairs.late(),
        };
        for stream in unwanted {
            tracing::debug!(
                stream = stream.id,
                "a stream has no other half, or there is one like it"
            );
            if reset(&stream).await.is_err() {
                return;
            }
        }
    }
}

async fn end(mut forwards: JoinSet<()>, deadlines: &Deadlines) {
    let ended = async { while forwards.join_next().await.is_some() {} };
    if timeout(deadlines.farewell, ended).await.is_err() {
        tracing::debug!("what a client sent last was not taken by its pod");
    }
}

async fn reset(stream: &Stream) -> Result<(), crate::pipe::Gone> {
    stream.to.reset().await
}
