//! The agent's one event stream, as values in a bounded queue.

use agent::agent as wire;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::AbortHandle,
};
use ttrpc::r#async::ClientStreamReceiver;

use crate::{deadlines::MAX_WAITING_EVENTS, error::AgentError, request::ProcessRef, text::shown};

/// Something that happened in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A process has ended and been reaped. Its output may still be on the way.
    ProcessExited {
        sequence: u64,
        /// By the guest's clock, nanoseconds since 1970-01-01 UTC.
        time_ns: i64,
        process: ProcessRef,
        end: ProcessEnd,
        /// The OOM killer has killed in this container since it was started.
        out_of_memory: bool,
    },
    /// The OOM killer has killed in this container.
    OutOfMemory {
        sequence: u64,
        time_ns: i64,
        container_id: String,
        kills: u64,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    /// Its exit code, 0 to 255.
    Exited(u8),
    /// The signal that ended it, 1 to 64.
    Signaled(u8),
}

/// Events in order. Dropping it unsubscribes.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Result<Event, AgentError>>,
    task: AbortHandle,
}

impl Event {
    /// To subscribe after it.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self {
            Self::ProcessExited { sequence, .. } | Self::OutOfMemory { sequence, .. } => *sequence,
        }
    }
}

impl EventStream {
    pub(crate) fn start(receiver: ClientStreamReceiver<wire::Event>) -> Self {
        let (sender, events) = mpsc::channel(MAX_WAITING_EVENTS);
        let task = tokio::spawn(forward(receiver, sender)).abort_handle();
        Self { events, task }
    }

    /// The next event. An error is the last thing that it returns.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the agent is gone or does not keep to the protocol.
    pub async fn next(&mut self) -> Result<Event, AgentError> {
        self.events
            .recv()
            .await
            .unwrap_or_else(|| Err(AgentError::broken(CALL, "the stream ended")))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const CALL: &str = "Events";

/// Takes each event from ttrpc, whose own queue has no bound, as soon as it comes.
async fn forward(
    mut receiver: ClientStreamReceiver<wire::Event>,
    sender: mpsc::Sender<Result<Event, AgentError>>,
) {
    loop {
        let next = match receiver.recv().await {
            Ok(Some(event)) => checked(event),
            Ok(None) => Err(AgentError::broken(CALL, "the agent ended the stream")),
            Err(error) => Err(AgentError::from_rpc(CALL, error)),
        };
        let last = next.is_err();
        match sender.try_send(next) {
            Ok(()) if !last => {}
            // Full: the caller reads what is queued, then the end. An honest agent repeats the rest to its next subscription.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Closed(_)) => return,
        }
    }
}

fn checked(event: wire::Event) -> Result<Event, AgentError> {
    let (sequence, time_ns) = (event.sequence, event.time_ns);
    match event.what {
        Some(wire::event::What::ProcessExited(exited)) => {
            let end = match (u8::try_from(exited.exit_code), u8::try_from(exited.signal)) {
                (Ok(code), Ok(0)) => ProcessEnd::Exited(code),
                (_, Ok(signal @ 1..=64)) => ProcessEnd::Signaled(signal),
                _ => {
                    return Err(AgentError::broken(
                        CALL,
                        "a process can't have ended like that",
                    ));
                }
            };
            let process = ProcessRef {
                container_id: shown(&exited.container_id),
                exec_id: shown(&exited.exec_id),
            };
            let out_of_memory = exited.out_of_memory;
            Ok(Event::ProcessExited {
                sequence,
                time_ns,
                process,
                end,
                out_of_memory,
            })
        }
        Some(wire::event::What::OutOfMemory(oom)) => Ok(Event::OutOfMemory {
            sequence,
            time_ns,
            container_id: shown(&oom.container_id),
            kills: oom.kills,
        }),
        _ => Err(AgentError::broken(CALL, "an event without content")),
    }
}

#[cfg(test)]
mod tests;
