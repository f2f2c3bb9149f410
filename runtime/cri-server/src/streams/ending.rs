//! The output of an attachment that ends with its input, as containerd's and docker's does where the input stays open for others. Main type:
//! [`Ending`]. What the container has to say to the last of the input still comes: the end is when nothing comes for a moment.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pod::PieceReader;
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::oneshot,
    time::{Instant, Sleep, sleep_until},
};

/// Reads until the output has ended, or the input has and the output is quiet.
#[derive(Debug)]
pub(super) struct Ending {
    from: PieceReader,
    /// Ready when the input has ended; none where that ends nothing, or when it is known.
    input: Option<oneshot::Receiver<()>>,
    /// Once the input has ended: the last moment, and the next one that ends it if nothing comes.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
    quiet: Duration,
    drain: Duration,
}

impl Ending {
    /// After the end of the input it waits `quiet` for a next piece, and `drain` for all of them.
    pub(super) fn new(
        from: PieceReader,
        input: Option<oneshot::Receiver<()>>,
        (quiet, drain): (Duration, Duration),
    ) -> Self {
        Self {
            from,
            input,
            alarm: None,
            quiet,
            drain,
        }
    }

    /// Sets the alarm when the input has ended.
    fn look_at_input(&mut self, context: &mut Context<'_>) {
        let Some(input) = &mut self.input else {
            return;
        };
        if Pin::new(input).poll(context).is_pending() {
            return;
        }
        self.input = None;
        let now = Instant::now();
        let alarm = Box::pin(sleep_until(now + self.quiet));
        self.alarm = Some((now + self.drain, alarm));
    }
}

impl AsyncRead for Ending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.look_at_input(context);
        let over = |(last, _): &(Instant, _)| Instant::now() >= *last;
        if this.alarm.as_ref().is_some_and(over) {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut this.from).poll_read(context, buffer);
        let Some((last, alarm)) = &mut this.alarm else {
            return read;
        };
        if read.is_ready() {
            let next = (Instant::now() + this.quiet).min(*last);
            alarm.as_mut().reset(next);
            return read;
        }
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
