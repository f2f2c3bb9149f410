//! The task that owns one pod: it alone changes the pod's phase and holds what the pod has on the host. Main function: [`spawn`].
//! `state` decides, `teardown` cleans up; `handle` sends the commands.

use agent_client::{Agent, AgentError, Event, EventStream, ProcessEnd, ProcessRef};
use model::{ContainerId, ExitStatus};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;
use vm_client::Ending;

use crate::{
    Deadlines,
    error::PodError,
    state::{self, Deed, Fact, Phase},
    teardown::{Held, teardown},
};

/// Commands that wait for the owner.
const COMMANDS: usize = 16;

/// What a handle may ask of the owner.
pub(crate) enum Command {
    /// End the pod; the reply comes when nothing is left.
    Stop {
        reply: oneshot::Sender<Result<(), PodError>>,
    },
}

type Exit = oneshot::Receiver<Result<ExitStatus, PodError>>;

/// Gives the pod an owner.
pub(crate) fn spawn(
    held: Held,
    agent: Agent,
    container: ContainerId,
    deadlines: Deadlines,
) -> (mpsc::Sender<Command>, Exit) {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (exit_sender, exit) = oneshot::channel();
    let span = tracing::info_span!("pod", pod = %held.pod, %container);
    let owner = Owner {
        held,
        agent,
        container,
        deadlines,
        phase: Phase::Running,
        exit: Some(exit_sender),
        stop_replies: Vec::new(),
    };
    tokio::spawn(owner.run(inbox).instrument(span));
    (commands, exit)
}

struct Owner {
    held: Held,
    agent: Agent,
    container: ContainerId,
    deadlines: Deadlines,
    phase: Phase,
    /// Taken when the first process's end has been told.
    exit: Option<oneshot::Sender<Result<ExitStatus, PodError>>>,
    stop_replies: Vec<oneshot::Sender<Result<(), PodError>>>,
}

/// What woke the owner.
enum Wake {
    Command(Option<Command>),
    Event(Result<Event, AgentError>),
    Ended(Ending),
}

impl Owner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut events = self.agent.events(0).await.ok();
        while self.phase == Phase::Running {
            let wake = self.wait(&mut inbox, &mut events).await;
            self.wake(wake, &mut events).await;
        }
        let result = teardown(self.held, self.deadlines).await;
        let (phase, deed) = state::next(self.phase, Fact::TornDown);
        tracing::debug!(?phase, ?deed, "the pod is over");
        let left = result.err();
        if let Some(error) = &left {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "something of the pod is left"
            );
        }
        // Everyone who asked is told; the one that can have the error gets it.
        let mut left = left.map_or(Ok(()), Err);
        for reply in self.stop_replies {
            // A caller that went away needs no answer.
            drop(reply.send(std::mem::replace(&mut left, Ok(()))));
        }
    }

    async fn wait(
        &self,
        inbox: &mut mpsc::Receiver<Command>,
        events: &mut Option<EventStream>,
    ) -> Wake {
        let ended = async {
            match &self.held.monitor {
                Some(monitor) => monitor.ended().await,
                None => std::future::pending().await,
            }
        };
        let event = async {
            match events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = event => Wake::Event(event),
            command = inbox.recv() => Wake::Command(command),
            ending = ended => Wake::Ended(ending),
        }
    }

    async fn wake(&mut self, wake: Wake, events: &mut Option<EventStream>) {
        match wake {
            // No handle is left: nobody can want anything of the pod any more.
            Wake::Command(None) => self.happened(Fact::StopAsked),
            Wake::Command(Some(Command::Stop { reply })) => {
                self.stop_replies.push(reply);
                self.happened(Fact::StopAsked);
            }
            Wake::Event(Ok(event)) => self.event(&event),
            Wake::Event(Err(error)) => {
                *events = None;
                self.agent_gone(error).await;
            }
            Wake::Ended(ending) => self.guest_ended(ending),
        }
    }

    fn happened(&mut self, fact: Fact) {
        let (phase, deed) = state::next(self.phase, fact);
        if deed == Deed::TearDown {
            tracing::debug!(?fact, "tearing down");
        }
        self.phase = phase;
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::ProcessExited {
                process,
                end,
                out_of_memory,
                ..
            } if self.is_first(process) => {
                self.tell(Ok(status_of(*end, *out_of_memory)));
            }
            Event::OutOfMemory { kills, .. } => {
                tracing::warn!(kills, "the container ran out of memory");
            }
            Event::ProcessExited { .. } => {}
        }
    }

    fn is_first(&self, process: &ProcessRef) -> bool {
        process.container_id == self.container.as_str() && process.exec_id.is_empty()
    }

    fn tell(&mut self, exit: Result<ExitStatus, PodError>) {
        if let Some(sender) = self.exit.take() {
            // A caller that went away needs no status.
            drop(sender.send(exit));
        }
    }

    /// The event stream ended. Mostly the guest is about to end too, and says why.
    async fn agent_gone(&mut self, source: AgentError) {
        let Some(monitor) = &self.held.monitor else {
            return;
        };
        match tokio::time::timeout(self.deadlines.stop, monitor.ended()).await {
            Ok(ending) => self.guest_ended(ending),
            Err(_still_there) => {
                self.tell(Err(PodError::Agent {
                    attempt: "follow the guest's events",
                    source,
                }));
                self.happened(Fact::GuestEnded);
            }
        }
    }

    fn guest_ended(&mut self, ending: Ending) {
        let during = "the container ran";
        self.tell(Err(PodError::GuestEnded {
            during,
            ending: Box::new(ending),
        }));
        self.happened(Fact::GuestEnded);
    }
}

fn status_of(end: ProcessEnd, out_of_memory: bool) -> ExitStatus {
    let status = match end {
        ProcessEnd::Exited(code) => ExitStatus::Exited(code),
        ProcessEnd::Signaled(signal) => ExitStatus::Signaled(signal),
    };
    if out_of_memory && status != ExitStatus::Exited(0) {
        return ExitStatus::OutOfMemory {
            code: status.shell_code(),
        };
    }
    status
}

#[cfg(test)]
mod tests;
