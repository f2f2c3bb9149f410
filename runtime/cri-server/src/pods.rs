//! The node's pods: which there are, under which names, and which containers are whose. Main type: [`Pods`]. How a pod is, its owner
//! says; nothing of that is kept here.
//!
//! A std mutex around maps: every method is a look-up or an insertion without an await in it, and a list must not wait for a pod that
//! is being started. A task with a queue would give the same order with more words.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{ContainerId, PodId};
use pod::Pod;
use thiserror::Error;

use crate::note::{Created, Sandbox, SandboxName};

/// A pod that CRI knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) pod: Pod,
    pub(crate) sandbox: Sandbox,
}

/// A container that CRI knows.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) known: Arc<Known>,
    pub(crate) id: ContainerId,
    pub(crate) created: Arc<Created>,
    /// As it was when it was found.
    pub(crate) container: Arc<pod::Container>,
}

/// An id does not say which.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum LookUp {
    #[error("there is no {what} {id:?}")]
    None { what: &'static str, id: String },
    #[error("{count} ids of a {what} begin with {id:?}")]
    Ambiguous {
        what: &'static str,
        id: String,
        count: usize,
    },
}

/// A name that is in use.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the name {name} is in use by {}", holder.as_deref().unwrap_or("one that is being made"))]
pub(crate) struct Taken {
    name: String,
    holder: Option<String>,
}

type ContainerName = (PodId, String, u32);

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<PodId, Arc<Known>>,
    containers: BTreeMap<ContainerId, (PodId, Arc<Created>)>,
    /// `None` while it is being made.
    sandbox_names: BTreeMap<SandboxName, Option<PodId>>,
    container_names: BTreeMap<ContainerName, Option<ContainerId>>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pods {
    state: Arc<Mutex<State>>,
}

/// A sandbox's name while its pod is being made; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct SandboxReservation {
    pods: Pods,
    name: SandboxName,
}

/// A container's name while it is being made; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct ContainerReservation {
    pods: Pods,
    name: ContainerName,
}

impl Pods {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic can't leave the maps half-changed in a way that matters more than answering.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name for a sandbox that is about to be made.
    pub(crate) fn reserve(&self, name: SandboxName) -> Result<SandboxReservation, Taken> {
        let mut state = self.state();
        if let Some(holder) = state.sandbox_names.get(&name) {
            return Err(Taken {
                name: name.to_string(),
                holder: holder.as_ref().map(ToString::to_string),
            });
        }
        state.sandbox_names.insert(name.clone(), None);
        let pods = self.clone();
        Ok(SandboxReservation { pods, name })
    }

    /// Takes a name for a container that is about to be made.
    pub(crate) fn reserve_container(
        &self,
        pod: &PodId,
        (name, attempt): (String, u32),
    ) -> Result<ContainerReservation, Taken> {
        let full = (pod.clone(), name, attempt);
        let mut state = self.state();
        if let Some(holder) = state.container_names.get(&full) {
            let (_, name, attempt) = full;
            return Err(Taken {
                name: format!("{name} (attempt {attempt})"),
                holder: holder.as_ref().map(ToString::to_string),
            });
        }
        state.container_names.insert(full.clone(), None);
        let pods = self.clone();
        Ok(ContainerReservation { pods, name: full })
    }

    /// Knows a pod that was there before this daemon.
    pub(crate) fn adopt(&self, known: Arc<Known>, containers: Vec<(ContainerId, Created)>) {
        let id = known.pod.id().clone();
        let mut state = self.state();
        state
            .sandbox_names
            .insert(known.sandbox.name(), Some(id.clone()));
        state.pods.insert(id.clone(), known);
        for (container, created) in containers {
            state.keep_container(&id, container, created);
        }
    }

    /// All pods.
    pub(crate) fn all(&self) -> Vec<Arc<Known>> {
        self.state().pods.values().cloned().collect()
    }

    /// All containers that are there.
    pub(crate) fn containers(&self) -> Vec<Found> {
        let state = self.state();
        let found = state.containers.iter().filter_map(|(id, entry)| {
            let (pod, created) = entry;
            found(&state, id, pod, created)
        });
        found.collect()
    }

    /// The containers of one pod.
    pub(crate) fn containers_of(&self, pod: &PodId) -> Vec<Found> {
        let mut all = self.containers();
        all.retain(|found| found.known.pod.id() == pod);
        all
    }

    /// A pod by its id or a unique start of it.
    pub(crate) fn pod(&self, id: &str) -> Result<Arc<Known>, LookUp> {
        let state = self.state();
        let ids = state.pods.keys().map(PodId::as_str);
        let whole = unique("sandbox", id, ids)?;
        let known = state.pods.values();
        let known = known
            .into_iter()
            .find(|known| known.pod.id().as_str() == whole);
        known.cloned().ok_or_else(|| none("sandbox", id))
    }

    /// A container by its id or a unique start of it.
    pub(crate) fn container(&self, id: &str) -> Result<Found, LookUp> {
        let state = self.state();
        let ids = state.containers.keys().map(ContainerId::as_str);
        let whole = unique("container", id, ids)?;
        let entry = state
            .containers
            .iter()
            .find(|(known, _)| known.as_str() == whole);
        entry
            .and_then(|(id, (pod, created))| found(&state, id, pod, created))
            .ok_or_else(|| none("container", id))
    }

    /// Forgets a pod, its containers and all their names.
    pub(crate) fn forget(&self, id: &PodId) {
        let mut state = self.state();
        state.pods.remove(id);
        state.containers.retain(|_, (pod, _)| pod != id);
        state
            .sandbox_names
            .retain(|_, holder| holder.as_ref() != Some(id));
        state.container_names.retain(|(pod, ..), _| pod != id);
    }

    /// Forgets a container and its name.
    pub(crate) fn forget_container(&self, id: &ContainerId) {
        let mut state = self.state();
        state.containers.remove(id);
        state
            .container_names
            .retain(|_, holder| holder.as_ref() != Some(id));
    }
}

impl State {
    fn keep_container(&mut self, pod: &PodId, id: ContainerId, created: Created) {
        let (name, attempt) = created.name();
        self.container_names
            .insert((pod.clone(), name, attempt), Some(id.clone()));
        self.containers.insert(id, (pod.clone(), Arc::new(created)));
    }
}

impl SandboxReservation {
    /// The pod has the name now.
    pub(crate) fn keep(self, known: Arc<Known>) {
        let id = known.pod.id().clone();
        let mut state = self.pods.state();
        state
            .sandbox_names
            .insert(self.name.clone(), Some(id.clone()));
        state.pods.insert(id, known);
    }
}

impl Drop for SandboxReservation {
    fn drop(&mut self) {
        let mut state = self.pods.state();
        if state.sandbox_names.get(&self.name) == Some(&None) {
            state.sandbox_names.remove(&self.name);
        }
    }
}

impl ContainerReservation {
    /// The container has the name now. Its pod may have been forgotten meanwhile; then so is the container.
    pub(crate) fn keep(self, id: ContainerId, created: Created) {
        let pod = self.name.0.clone();
        let mut state = self.pods.state();
        if state.pods.contains_key(&pod) {
            state.keep_container(&pod, id, created);
        }
    }
}

impl Drop for ContainerReservation {
    fn drop(&mut self) {
        let mut state = self.pods.state();
        if state.container_names.get(&self.name) == Some(&None) {
            state.container_names.remove(&self.name);
        }
    }
}

/// A container that its pod still has.
fn found(state: &State, id: &ContainerId, pod: &PodId, created: &Arc<Created>) -> Option<Found> {
    let known = state.pods.get(pod)?;
    let container = known.pod.container(id).ok()?;
    Some(Found {
        known: Arc::clone(known),
        id: id.clone(),
        created: Arc::clone(created),
        container,
    })
}

/// The one id that is this or begins so.
fn unique<'a>(
    what: &'static str,
    id: &str,
    ids: impl Iterator<Item = &'a str>,
) -> Result<String, LookUp> {
    if id.is_empty() {
        return Err(none(what, id));
    }
    let mut matching: Vec<&str> = ids.filter(|known| known.starts_with(id)).collect();
    matching.sort_by_key(|known| known.len());
    match matching.as_slice() {
        [] => Err(none(what, id)),
        [only] => Ok((*only).to_owned()),
        [first, ..] if *first == id => Ok(id.to_owned()),
        several => Err(LookUp::Ambiguous {
            what,
            id: id.to_owned(),
            count: several.len(),
        }),
    }
}

fn none(what: &'static str, id: &str) -> LookUp {
    LookUp::None {
        what,
        id: id.to_owned(),
    }
}

#[cfg(test)]
mod tests;
