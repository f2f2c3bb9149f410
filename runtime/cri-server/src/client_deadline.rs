//! How long a client waits for its answer. Main type: [`ClientDeadline`]. Used by `serve` for every call.
//!
//! tonic reads the client's `grpc-timeout` too, but answers CANCELLED when it has passed; who has such a deadline is told
//! DEADLINE_EXCEEDED by every other server. tonic begins to wait only after this has, so this one is always first.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{
    Status,
    body::Body,
    codegen::http::{HeaderMap, Response},
};

const HEADER: &str = "grpc-timeout";
/// Most digits of the header's number (gRPC over HTTP/2, "TimeoutValue").
const MOST_DIGITS: usize = 8;

/// One call's deadline.
#[derive(Debug)]
pub(crate) struct ClientDeadline(Option<Instant>);

impl ClientDeadline {
    /// Starts to count. A header that breaks the rules is no deadline, as for tonic.
    pub(crate) fn start(headers: &HeaderMap) -> Self {
        let value = headers.get(HEADER).and_then(|value| value.to_str().ok());
        let timeout = value.and_then(parse);
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// The call's answer, or that it came too late; then the call is dropped.
    pub(crate) async fn hold<E>(
        self,
        mut call: Pin<Box<impl Future<Output = Result<Response<Body>, E>> + Send + ?Sized>>,
    ) -> Result<Response<Body>, E> {
        let Some(deadline) = self.0 else {
            return call.await;
        };
        let mut alarm: Pin<Box<Sleep>> = Box::pin(sleep_until(deadline));
        std::future::poll_fn(|context| {
            if let ready @ std::task::Poll::Ready(_) = call.as_mut().poll(context) {
                return ready;
            }
            // The clock is asked as well: tonic's timer may ring in the same turn as this one, before it.
            let rung = alarm.as_mut().poll(context).is_ready();
            if rung || Instant::now() >= deadline {
                let late = Status::deadline_exceeded("the client's deadline has passed");
                return std::task::Poll::Ready(Ok(late.into_http()));
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// `TimeoutValue TimeoutUnit` (gRPC over HTTP/2, "Requests").
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits_only {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 60 * 60)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
