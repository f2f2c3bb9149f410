//! Passes what a client sends to a process. Main function: [`feed`], a task as long as both are there; [`channel`] makes the client's end.

use pod::ProcessInput;
use streaming::Sink;
use tokio::io::{AsyncReadExt, DuplexStream};

use crate::limits;

/// What becomes of the process's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The client's end is its end; nobody else ever writes to it.
    Ends,
    /// The client's end is its end; another client may have taken it over.
    EndsOnce,
    /// It stays open for the next client.
    StaysOpen,
    /// The same, and nobody else ever writes to it: an exec's terminal.
    Terminal,
}

/// The client's end, and ours. What is written to the one and not taken yet is bounded.
pub(super) fn channel() -> (Sink, DuplexStream) {
    let (client, ours) = tokio::io::duplex(limits::INPUT_BYTES);
    (Box::new(client), ours)
}

/// Until the client says that nothing follows, or is gone, or the process reads no more, which the client's next write says.
pub(super) async fn feed(mut to: ProcessInput, mut from: DuplexStream, rule: Rule) {
    let mut buffer = vec![0; limits::INPUT_BYTES];
    // A read error is none of a pipe in memory.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let sent = match rule {
                Rule::Ends | Rule::Terminal => to.write_ahead(rest).await,
                Rule::EndsOnce | Rule::StaysOpen => to.write(rest).await,
            };
            match sent {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) => {
                    tracing::debug!(%error, "the process takes no more input");
                    return;
                }
            }
        }
    }
    if matches!(rule, Rule::Ends | Rule::EndsOnce)
        && let Err(error) = to.close().await
    {
        tracing::debug!(%error, "the process's input was not ended");
    }
}
