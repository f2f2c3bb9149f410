//! What the owner does with containers' output, who listens to it, and where it goes on after a restart. Below: `output`.

use agent_client::AgentError;
use model::ContainerId;

use super::{Owner, Reply, command::first_process, containers::StartedContainer};
use crate::{
    error::PodError,
    handle::Streams,
    output::{Follower, Following, Listener, LogPlace},
    plan::OutputTo,
    state::{
        container::{Fact, Stage},
        pod::Phase,
    },
    wall_clock,
};

impl Owner {
    /// Sends the streams where they shall go; gives back those that the caller gets.
    pub(super) fn follow(
        &mut self,
        id: &ContainerId,
        started: StartedContainer,
    ) -> Option<Streams> {
        let StartedContainer {
            streams, followed, ..
        } = started;
        let Some((following, log)) = followed else {
            return Some(streams);
        };
        let entry = self.entries.get_mut(id)?;
        entry.follower = Some(Follower::begin(following, log, streams, self.deadlines));
        None
    }

    /// What it takes to follow a container's output; nothing for one whose output goes to a caller.
    pub(super) fn following(&self, id: &ContainerId) -> Option<Following> {
        let entry = self.entries.get(id)?;
        let log = match &entry.output {
            OutputTo::Caller => return None,
            OutputTo::Nowhere => None,
            OutputTo::Log(path) => Some(LogPlace {
                path: path.clone(),
                position: self.held.as_ref()?.folder.log_position(id),
            }),
        };
        Some(Following {
            agent: self.agent.borrow().clone()?,
            process: first_process(id),
            terminal: entry.container().spec.terminal.is_some(),
            log,
        })
    }

    pub(super) fn reopen_log(&self, id: &ContainerId, reply: Reply<()>) {
        let Some(entry) = self.entries.get(id) else {
            return drop(reply.send(Err(PodError::NoContainer {
                container: id.to_string(),
            })));
        };
        match (&entry.follower, &entry.output) {
            (Some(follower), OutputTo::Log(_)) => follower.reopen(reply),
            _ => drop(reply.send(Err(PodError::ContainerState {
                container: id.to_string(),
                attempt: "reopen the log of",
                because: "it does not run, or its output does not go to a log".to_owned(),
            }))),
        }
    }

    pub(super) fn attach(&self, id: &ContainerId, listener: Listener, reply: Reply<()>) {
        let Some(entry) = self.entries.get(id) else {
            return drop(reply.send(Err(PodError::NoContainer {
                container: id.to_string(),
            })));
        };
        match &entry.follower {
            Some(follower) => follower.attach(listener, reply),
            None => drop(reply.send(Err(PodError::ContainerState {
                container: id.to_string(),
                attempt: "attach to",
                because: "it does not run, or its output goes to whoever started it".to_owned(),
            }))),
        }
    }

    /// After a restart: goes on where the last owner was killed.
    pub(super) async fn resume(&mut self) {
        if self.phase != Phase::Running {
            let message = self.cause().unwrap_or("the pod was stopped").to_owned();
            return self.lose_containers(&message).await;
        }
        let ids: Vec<ContainerId> = self.entries.keys().cloned().collect();
        for id in ids {
            let Some(entry) = self.entries.get(&id) else {
                continue;
            };
            match entry.stage {
                Stage::Running { .. } if self.is_unknown_in_guest(&id).await => {
                    let fact = Fact::Lost {
                        at_ns: wall_clock::now_ns(),
                        message: "it ended, and its end could not be recorded".to_owned(),
                    };
                    self.tell(&id, fact).await;
                }
                Stage::Running { .. } => {
                    let container = entry.container().clone();
                    self.follow_volumes(&container);
                    self.follow_again(&id);
                }
                // The daemon before this one was killed between the record of its end and the end of what it has in the guest.
                Stage::Exited(_) if !entry.container().images().is_empty() => {
                    self.spawn_settle(&id)
                }
                Stage::Starting { .. } => {
                    let error = PodError::ContainerState {
                        container: id.to_string(),
                        attempt: "start",
                        because: "cofferdam was restarted while it was being started".to_owned(),
                    };
                    self.started(&id, Err(error)).await;
                }
                _ => {}
            }
        }
        self.publish();
    }

    /// Whether the guest has forgotten a container that the record says runs. An agent that doesn't answer has not said so.
    async fn is_unknown_in_guest(&self, id: &ContainerId) -> bool {
        let agent = self.agent.borrow().clone();
        let Some(agent) = agent else {
            return false;
        };
        let usage = agent
            .container_usage(id.as_str(), self.deadlines.call)
            .await;
        matches!(usage, Err(AgentError::NotFound { .. }))
    }

    fn follow_again(&mut self, id: &ContainerId) {
        let follower = self
            .following(id)
            .map(|following| Follower::resume(following, self.deadlines));
        if let Some(entry) = self.entries.get_mut(id) {
            entry.follower = follower;
        }
    }
}
