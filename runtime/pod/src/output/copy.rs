//! The copying itself. Main type: [`Copier`]. A log that can't be written keeps the container waiting for a while; then its output is
//! dropped until the log takes some again, and both are said.

use std::{fs, time::SystemTime};

use agent_client::{AgentError, OutputStream};
use bytes::Bytes;
use container_log::{LogError, LogFile, Stream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    Following, LogPlace, Request, blocking, output_of,
    tee::{Listener, Tee},
};
use crate::{Deadlines, deadlines::LOG_PAUSE, error::PodError};

/// Bytes read at once: a line of the log holds as many.
const PIECE_BYTES: usize = 16 * 1024;

/// Output after which the guest is told that it is safe, in bytes: a quarter of what the guest holds.
const ACKNOWLEDGE_BYTES: u64 = 64 * 1024;

/// How often a stream that broke is opened again without a byte in between.
const REOPENS: u32 = 5;

/// One of the two streams.
pub(super) struct Side {
    stream: Stream,
    /// None when it has ended.
    from: Option<OutputStream>,
    buffer: Box<[u8]>,
    /// Offset of the first byte that comes next.
    next: u64,
    /// What the guest has been told.
    acknowledged: u64,
    reopens: u32,
}

impl Side {
    pub(super) fn open(stream: Stream, from: OutputStream) -> Self {
        let next = from.offset();
        Self {
            stream,
            from: Some(from),
            buffer: vec![0; PIECE_BYTES].into(),
            next,
            acknowledged: next,
            reopens: 0,
        }
    }

    /// Opens it where the log ends; without a log, where the guest's memory begins.
    pub(super) async fn reopen(
        following: &Following,
        log: Option<&LogFile>,
        stream: Stream,
    ) -> Result<Self, PodError> {
        let (agent, process, output) = (&following.agent, &following.process, output_of(stream));
        let opened = match log {
            Some(log) => {
                let offset = log.acknowledged(stream).unwrap_or(0);
                agent.open_output(process, output, offset).await
            }
            None => agent.open_held_output(process, output).await,
        };
        Ok(Self::open(stream, opened.map_err(PodError::Stdio)?))
    }

    /// The next piece; 0 at the end. Waits for ever once the stream has ended.
    async fn read(&mut self) -> Result<usize, AgentError> {
        match &mut self.from {
            Some(from) => from.read(&mut self.buffer).await,
            None => std::future::pending().await,
        }
    }

    async fn acknowledge(&mut self, offset: u64) {
        if offset.saturating_sub(self.acknowledged) < ACKNOWLEDGE_BYTES {
            return;
        }
        self.acknowledged = offset;
        if let Some(from) = &mut self.from {
            // A stream that is broken says so at the next read.
            drop(from.acknowledge(offset).await);
        }
    }
}

/// Copies both streams of one container.
pub(super) struct Copier {
    following: Following,
    /// None where there is none, and while a blocking thread has it.
    log: Option<LogFile>,
    tee: Tee,
    sides: [Option<Side>; 2],
    deadlines: Deadlines,
    /// Output is being dropped, because the log could not be written for too long.
    dropping: bool,
}

enum Wake {
    Request(Option<Request>),
    Read(usize, Result<usize, AgentError>),
}

impl Copier {
    pub(super) fn new(
        following: Following,
        log: Option<LogFile>,
        stdout: Side,
        stderr: Option<Side>,
        deadlines: Deadlines,
    ) -> Self {
        Self {
            following,
            log,
            tee: Tee::new(deadlines.attach),
            sides: [Some(stdout), stderr],
            deadlines,
            dropping: false,
        }
    }

    /// Until both streams have ended.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut asked = true;
        while self.is_open() {
            match self.wait(&mut inbox, asked).await {
                Wake::Request(Some(Request::Reopen { reply })) => {
                    let result = match self.following.log.clone() {
                        Some(place) => self.with_log(place, LogFile::reopen).await,
                        None => Ok(()),
                    };
                    // A caller that went away needs no answer.
                    drop(reply.send(result));
                }
                Wake::Request(Some(Request::Attach { listener, reply })) => {
                    drop(reply.send(self.attach(listener)));
                }
                Wake::Request(Some(Request::End)) => break,
                // Nobody holds the follower: it is about to be aborted.
                Wake::Request(None) => asked = false,
                Wake::Read(index, result) => self.arrived(index, result).await,
            }
        }
        for stream in Stream::ALL {
            self.finish(stream).await;
        }
    }

    fn attach(&mut self, listener: Listener) -> Result<(), PodError> {
        if !self.tee.add(listener) {
            return Err(PodError::ContainerState {
                container: self.following.process.container_id.clone(),
                attempt: "attach to",
                because: "too many clients are attached to it already".to_owned(),
            });
        }
        for (stream, side) in Stream::ALL.into_iter().zip(&self.sides) {
            if side.as_ref().is_none_or(|side| side.from.is_none()) {
                self.tee.end(stream);
            }
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.sides.iter().flatten().any(|side| side.from.is_some())
    }

    async fn wait(&mut self, inbox: &mut mpsc::Receiver<Request>, asked: bool) -> Wake {
        let [stdout, stderr] = &mut self.sides;
        let read = async |side: &mut Option<Side>| match side {
            Some(side) => side.read().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            request = inbox.recv(), if asked => Wake::Request(request),
            result = read(stdout) => Wake::Read(0, result),
            result = read(stderr) => Wake::Read(1, result),
        }
    }

    async fn arrived(&mut self, index: usize, result: Result<usize, AgentError>) {
        let Some(side) = self.sides.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        match result {
            Ok(0) => {
                let stream = side.stream;
                side.from = None;
                self.finish(stream).await;
                self.tee.end(stream);
            }
            Ok(count) => {
                let bytes = Bytes::copy_from_slice(side.buffer.get(..count).unwrap_or_default());
                let (stream, offset) = (side.stream, side.next);
                side.reopens = 0;
                side.next += u64::try_from(count).unwrap_or(0);
                let safe = self.append(stream, offset, &bytes).await;
                self.tee.send(stream, &bytes).await;
                if let Some(side) = self.sides.get_mut(index).and_then(Option::as_mut) {
                    side.acknowledge(safe).await;
                }
            }
            Err(error) => self.broken(index, &error).await,
        }
    }

    /// Opens a stream again that broke while the guest lives.
    async fn broken(&mut self, index: usize, error: &AgentError) {
        let Some(side) = self.sides.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        side.from = None;
        side.reopens += 1;
        if side.reopens > REOPENS {
            tracing::warn!(%error, stream = ?side.stream, "the container's output broke off");
            return;
        }
        let open = self.following.agent.open_output(
            &self.following.process,
            output_of(side.stream),
            side.next,
        );
        // A guest that has ended has no more output.
        side.from = open.await.ok();
    }

    /// Writes a piece, and says up to where the guest may forget.
    async fn append(&mut self, stream: Stream, offset: u64, bytes: &Bytes) -> u64 {
        let end = offset + u64::try_from(bytes.len()).unwrap_or(0);
        let Some(place) = self.following.log.clone() else {
            return end;
        };
        let until = Instant::now() + self.deadlines.log;
        let mut attempts = 0_u32;
        loop {
            let attempt = self.attempt(place.clone(), stream, (offset, bytes.clone()));
            match attempt.await {
                Ok(safe) => {
                    self.written();
                    return safe;
                }
                Err(error) => self.failed(&error, attempts),
            }
            if self.dropping || Instant::now() >= until {
                self.drop_from(offset);
                return end;
            }
            attempts += 1;
            // There is no event to wait for: nobody says when a disk has room again.
            sleep(LOG_PAUSE).await;
        }
    }

    async fn attempt(
        &mut self,
        place: LogPlace,
        stream: Stream,
        (offset, bytes): (u64, Bytes),
    ) -> Result<u64, PodError> {
        let skipped = self.dropping;
        let LogPlace { path, position } = place.clone();
        self.with_log(place, move |log| {
            if skipped {
                // Without a position a log goes on at any offset; one that is not there is as good.
                drop(fs::remove_file(&position));
                *log = LogFile::resume(&path, &position)?.0;
            }
            log.append(stream, offset, &bytes, SystemTime::now())
        })
        .await
    }

    fn written(&mut self) {
        if std::mem::take(&mut self.dropping) {
            tracing::warn!("the container's output is logged again");
        }
    }

    fn failed(&self, error: &PodError, attempts: u32) {
        if attempts == 0 && !self.dropping {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the container's output waits for its log"
            );
        }
    }

    fn drop_from(&mut self, offset: u64) {
        if !std::mem::replace(&mut self.dropping, true) {
            tracing::error!(
                offset,
                "the container's output is dropped: its log can't be written"
            );
        }
    }

    async fn finish(&mut self, stream: Stream) {
        let Some(place) = self.following.log.clone() else {
            return;
        };
        let finished = self.with_log(place, move |log| log.finish(stream, SystemTime::now()));
        if let Err(error) = finished.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the container's last line is not logged"
            );
        }
    }

    /// The log blocks, so it is used on a blocking thread.
    async fn with_log<T: Send + 'static>(
        &mut self,
        place: LogPlace,
        work: impl FnOnce(&mut LogFile) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, PodError> {
        let lost = || PodError::LogLost {
            path: place.path.clone(),
        };
        let mut log = self.log.take().ok_or_else(lost)?;
        let (log, result) = blocking(place, move |_place| {
            let result = work(&mut log);
            Ok((log, result))
        })
        .await?;
        self.log = Some(log);
        result.map_err(PodError::Log)
    }
}
