//! The output of an exec, gathered up to a limit or passed on, and read to its end. Main functions: [`gather`], [`forward`], [`fit`],
//! [`discard`].

use std::time::Duration;

use bytes::Bytes;
use pod::ProcessOutput;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{deadlines::Deadlines, limits};

/// Reads a stream and acknowledges what it has read.
struct Reader {
    stream: ProcessOutput,
    buffer: Box<[u8]>,
    acknowledged: u64,
}

impl Reader {
    fn new(stream: ProcessOutput) -> Self {
        let acknowledged = stream.offset();
        Self {
            stream,
            buffer: vec![0; limits::EXEC_PIECE_BYTES].into(),
            acknowledged,
        }
    }

    /// The next piece; `None` at the end, or when the stream broke: the guest has ended then, which the exec's own end says. May be
    /// dropped and called again.
    async fn read(&mut self) -> Option<usize> {
        match self.stream.read(&mut self.buffer).await {
            Ok(count) if count > 0 => Some(count),
            Ok(_end) => {
                // The guest need not keep the rest either.
                let offset = self.stream.offset();
                drop(self.stream.acknowledge(offset).await);
                None
            }
            Err(_broken) => None,
        }
    }

    fn piece(&self, count: usize) -> &[u8] {
        self.buffer.get(..count).unwrap_or_default()
    }

    /// Passes a piece on; false when nobody takes it.
    async fn pass(&mut self, count: usize, to: &mpsc::Sender<Bytes>) -> bool {
        let piece = Bytes::copy_from_slice(self.piece(count));
        let taken = to.send(piece).await.is_ok();
        self.acknowledge().await;
        taken
    }

    async fn acknowledge(&mut self) {
        let offset = self.stream.offset();
        if offset.saturating_sub(self.acknowledged) >= limits::ACKNOWLEDGE_BYTES {
            self.acknowledged = offset;
            // A stream that broke says so at the next read.
            drop(self.stream.acknowledge(offset).await);
        }
    }
}

/// All output up to a limit; the rest is read and dropped, so that the command goes on. Returns when the stream has ended, or when the
/// process has ended and nothing more comes: what a process left behind writes is read on and dropped.
pub(crate) async fn gather(
    stream: ProcessOutput,
    mut exited: watch::Receiver<bool>,
    deadlines: Deadlines,
) -> Vec<u8> {
    let mut reader = Reader::new(stream);
    let mut kept = Vec::new();
    let mut until = None;
    loop {
        let now = Instant::now();
        let patience = until.map_or(now, |until: Instant| until.min(now + deadlines.quiet));
        tokio::select! {
            biased;
            read = reader.read() => {
                let Some(count) = read else { return kept };
                let room = limits::EXEC_OUTPUT_BYTES.saturating_sub(kept.len());
                kept.extend(reader.piece(count).iter().take(room));
                reader.acknowledge().await;
                if until.is_some_and(|until| Instant::now() >= until) {
                    break;
                }
            }
            () = has_exited(&mut exited), if until.is_none() => {
                until = Some(Instant::now() + deadlines.drain);
            }
            () = sleep_until(patience), if until.is_some() => break,
        }
    }
    tokio::spawn(read_on(reader));
    kept
}

/// Passes all output on, at the pace of who takes it. Returns when the stream has ended; when the process has ended and nothing more of
/// its own can come, as far as can be known; or when nobody takes it any more. What else comes is read and dropped.
pub(crate) async fn forward(
    stream: ProcessOutput,
    to: mpsc::Sender<Bytes>,
    mut exited: watch::Receiver<bool>,
    deadlines: Deadlines,
) {
    let mut reader = Reader::new(stream);
    let mut running = true;
    while running {
        let count = tokio::select! {
            read = reader.read() => read,
            () = has_exited(&mut exited) => {
                running = false;
                continue;
            }
        };
        let Some(count) = count else { return };
        if !reader.pass(count, &to).await {
            return read_on(reader).await;
        }
    }
    if forward_rest(&mut reader, &to, deadlines).await {
        drop(to);
        read_on(reader).await;
    }
}

/// The output of a process that has ended, also where another one holds the stream open and writes on. True when the stream goes on.
async fn forward_rest(reader: &mut Reader, to: &mpsc::Sender<Bytes>, deadlines: Deadlines) -> bool {
    // Only the waits for the guest count: a client may take its time.
    let (mut waited, mut rest) = (Duration::ZERO, limits::EXEC_REST_BYTES);
    while rest > 0 && waited < deadlines.drain {
        let begun = Instant::now();
        let count = match timeout(deadlines.quiet, reader.read()).await {
            Ok(Some(count)) => count,
            Ok(None) => return false,
            Err(_quiet) => return true,
        };
        waited += begun.elapsed();
        rest = rest.saturating_sub(count);
        if !reader.pass(count, to).await {
            return true;
        }
    }
    true
}

/// Until the process has ended, or nobody attends to it any more.
async fn has_exited(exited: &mut watch::Receiver<bool>) {
    drop(exited.wait_for(|exited| *exited).await);
}

/// Reads a stream that nobody wants, until it ends: what writes to it shall not be held up.
pub(crate) async fn discard(stream: ProcessOutput) {
    read_on(Reader::new(stream)).await;
}

async fn read_on(mut reader: Reader) {
    while reader.read().await.is_some() {
        reader.acknowledge().await;
    }
}

/// Cuts both streams so that they go into one message: each has half of it for sure, and what the other leaves.
pub(crate) fn fit(stdout: &mut Vec<u8>, stderr: &mut Vec<u8>, most: usize) {
    let half = most / 2;
    let of_stderr = stderr
        .len()
        .min(most.saturating_sub(stdout.len()).max(half));
    stderr.truncate(of_stderr);
    stdout.truncate(most - of_stderr);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_share_a_message() {
        let check = |out: usize, err: usize, expect: (usize, usize)| {
            let (mut stdout, mut stderr) = (vec![1; out], vec![2; err]);
            fit(&mut stdout, &mut stderr, 10);
            assert_eq!((stdout.len(), stderr.len()), expect);
        };
        check(0, 0, (0, 0));
        check(10, 0, (10, 0));
        check(0, 11, (0, 10));
        check(6, 4, (6, 4));
        check(9, 4, (6, 4));
        check(3, 9, (3, 7));
        check(9, 9, (5, 5));
        check(100, 1, (9, 1));
    }

    #[test]
    fn full_answer_goes_into_one_message() {
        use prost::Message;
        let bytes = || vec![0; limits::EXEC_OUTPUT_BYTES];
        let (mut stdout, mut stderr) = (bytes(), bytes());
        fit(&mut stdout, &mut stderr, limits::EXEC_OUTPUT_BYTES);
        let answer = cri::v1::ExecSyncResponse {
            stdout,
            stderr,
            exit_code: -1,
        };
        assert!(answer.encoded_len() <= cri::MAX_MESSAGE_BYTES);
    }
}
