//! Moves the bytes of an attached run: the caller's standard input to the container, the container's output to the caller's. Each
//! function is one direction of one stream.

use std::{io, time::Duration};

use anyhow::Context;
use pod::{ProcessInput, ProcessOutput, StreamError};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::sleep,
};

/// Bytes moved at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Output after which the guest is told that it is safe, in bytes: a quarter of what the guest holds.
const ACKNOWLEDGE_BYTES: u64 = 64 * 1024;

/// How one direction came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All bytes have been written.
    Complete,
    /// Nobody reads on the caller's side any more (EPIPE).
    ReaderGone,
}

/// Writes a stream of the container to the caller. Once `exited` says true, it does not wait longer than `drain` for the guest.
pub(super) async fn output<W: AsyncWrite + Unpin>(
    mut from: ProcessOutput,
    mut to: W,
    mut exited: watch::Receiver<bool>,
    drain: Duration,
) -> anyhow::Result<End> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut acknowledged = from.offset();
    loop {
        let count = tokio::select! {
            count = from.read(&mut buffer) => count.context("read the container's output")?,
            () = late(&mut exited, drain) => {
                anyhow::bail!("the guest did not end the container's output in {} s", drain.as_secs());
            }
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(End::Complete);
        }
        let written = async {
            to.write_all(bytes).await?;
            to.flush().await
        };
        match written.await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::ReaderGone),
            Err(error) => return Err(error).context("write the container's output"),
        }
        if from.offset() - acknowledged >= ACKNOWLEDGE_BYTES {
            acknowledged = from.offset();
            from.acknowledge(acknowledged)
                .await
                .context("acknowledge the container's output")?;
        }
    }
}

async fn late(exited: &mut watch::Receiver<bool>, drain: Duration) {
    // A sender that is gone has nothing more to say: the run is over.
    drop(exited.wait_for(|exited| *exited).await);
    sleep(drain).await;
}

/// Sends the caller's standard input to the container, and its end. A container that does not read any more ends it.
pub(super) async fn input(mut to: ProcessInput) {
    let mut from = tokio::io::stdin();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut buffer).await;
        // Input that can't be read is over, as for a shell.
        let bytes = read
            .ok()
            .and_then(|count| buffer.get(..count))
            .unwrap_or_default();
        let sent = if bytes.is_empty() {
            to.close().await
        } else {
            send(&mut to, bytes).await
        };
        if bytes.is_empty() || sent.is_err() {
            return;
        }
    }
}

async fn send(to: &mut ProcessInput, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let sent = to.write(bytes).await?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}
