//! What the owner does about the limits of a container that runs. The agent changes all of them or none; then the record says so, and only
//! then whoever asked is answered. `oci` writes what the agent is told.

use agent_client::{Agent, AgentError};
use model::{ContainerId, LimitsChange};

use super::{Owner, Reply, deeds::Outcome};
use crate::{
    Deadlines, error::PodError, home::Home, launch::while_alive, oci, state::container::Stage,
};

impl Owner {
    pub(super) fn update(&mut self, id: &ContainerId, change: LimitsChange, reply: Reply<()>) {
        match self.begin_update(id, &change) {
            Ok(Some(update)) => {
                self.deeds
                    .spawn(update.carry_out(change, reply, self.deadlines));
            }
            // A caller that went away needs no answer.
            Ok(None) => drop(reply.send(Ok(()))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// What is to be done; nothing where nothing changes.
    fn begin_update(
        &mut self,
        id: &ContainerId,
        change: &LimitsChange,
    ) -> Result<Option<Update>, PodError> {
        let entry = self.entries.get_mut(id).filter(|entry| entry.ready);
        let entry = entry.ok_or_else(|| PodError::NoContainer {
            container: id.to_string(),
        })?;
        let agent = self.agent.borrow().clone();
        let (Stage::Running { .. }, Some(agent), Some(home)) =
            (&entry.stage, agent, self.home.clone())
        else {
            return Err(refused(id, "it does not run"));
        };
        if entry.updating {
            return Err(refused(id, "another change of them is under way"));
        }
        let Some(oci_resources) = oci::limits_change(&entry.container().spec.limits, change)?
        else {
            return Ok(None);
        };
        entry.updating = true;
        Ok(Some(Update {
            container: id.clone(),
            home,
            agent,
            oci_resources,
        }))
    }

    pub(super) async fn updated(
        &mut self,
        id: &ContainerId,
        change: &LimitsChange,
        result: Result<(), PodError>,
    ) -> Result<(), PodError> {
        let Some(entry) = self.entries.get_mut(id) else {
            return Err(PodError::NoContainer {
                container: id.to_string(),
            });
        };
        entry.updating = false;
        result?;
        let limits = entry.container().spec.limits.changed(change);
        entry.set_limits(limits);
        let saved = self.save(id).await;
        // Shown before it is said.
        self.publish();
        saved
    }
}

/// A change of limits that is under way.
struct Update {
    container: ContainerId,
    home: Home,
    agent: Agent,
    oci_resources: Vec<u8>,
}

impl Update {
    async fn carry_out(
        self,
        change: LimitsChange,
        reply: Reply<()>,
        deadlines: Deadlines,
    ) -> Outcome {
        let Self {
            container,
            home,
            agent,
            oci_resources,
        } = self;
        let work = async {
            let call = agent.update_container(container.as_str(), oci_resources, deadlines.call);
            call.await.map_err(|source| match source {
                AgentError::NotFound { .. } => refused(&container, "it does not run any more"),
                source => PodError::Agent {
                    attempt: "change the container's limits",
                    source,
                },
            })
        };
        let during = "a container's limits were changed";
        let result = while_alive(&home, during, deadlines, work).await;
        Outcome::Updated {
            container,
            change: Box::new(change),
            result,
            reply,
        }
    }
}

fn refused(id: &ContainerId, because: &str) -> PodError {
    PodError::ContainerState {
        container: id.to_string(),
        attempt: "change the limits of",
        because: because.to_owned(),
    }
}
