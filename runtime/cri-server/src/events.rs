//! What happens to pods, as GetContainerEvents tells it. Main type: [`Events`]; [`follow`] watches one pod. A pod's status is the only
//! source: two statuses are compared, by a pure function, and what differs is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use cri::v1::{ContainerEventResponse, ContainerEventType as Kind};
use model::ContainerId;
use pod::{Container, ContainerPhase, PodPhase, PodStatus};
use tokio::sync::{broadcast, watch};

use crate::{
    limits,
    pods::{Known, Pods},
    translate, wall_clock,
};

/// Everyone who listens.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<ContainerEventResponse>>,
    /// When the last one happened: the clock may be set back, the events' times must not fall. Held while one is sent, so that the
    /// order is that of the times; a std mutex, for nothing is awaited.
    last_ns: Mutex<i64>,
    /// Whether the daemon ends: the streams end then.
    over: watch::Sender<bool>,
}

/// One thing that happened.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    /// None is the sandbox itself.
    container: Option<ContainerId>,
    kind: Kind,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(limits::EVENTS),
            last_ns: Mutex::new(0),
            over: watch::Sender::new(false),
        }
    }

    /// Ends the streams of those who listen, who would listen for ever.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    pub(crate) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<ContainerEventResponse>> {
        self.sender.subscribe()
    }

    fn tell(&self, mut event: ContainerEventResponse) {
        let mut last_ns = self.last_ns.lock().unwrap_or_else(PoisonError::into_inner);
        *last_ns = wall_clock::now_ns().max(*last_ns);
        event.created_at = *last_ns;
        // Without a listener nobody wants to know.
        drop(self.sender.send(Arc::new(event)));
    }
}

/// Tells what happens to a pod until it is gone. `new` is a pod of this daemon's, whose creation is told, too.
pub(crate) async fn follow(events: Arc<Events>, pods: Pods, known: Arc<Known>, new: bool) {
    let mut watch = known.pod.watch();
    let mut now = watch.borrow_and_update().as_ref().clone();
    let mut before = now.clone();
    if new {
        // It may have got a container already.
        before.phase = PodPhase::Running;
        before.containers.clear();
        let begun = [Kind::ContainerCreatedEvent, Kind::ContainerStartedEvent];
        let begun = begun.map(|kind| Change {
            container: None,
            kind,
        });
        tell(&events, &pods, &known, &before, begun.into());
    }
    loop {
        tell(&events, &pods, &known, &now, changes(&before, &now));
        before = now;
        if watch.changed().await.is_err() {
            break;
        }
        now = watch.borrow_and_update().as_ref().clone();
    }
    // The owner has ended: the record is gone.
    let mut last = changes(&before, &gone(&before));
    last.push(Change {
        container: None,
        kind: Kind::ContainerDeletedEvent,
    });
    tell(&events, &pods, &known, &gone(&before), last);
}

fn gone(status: &PodStatus) -> PodStatus {
    PodStatus {
        phase: PodPhase::Stopped { cause: None },
        containers: BTreeMap::new(),
        ..status.clone()
    }
}

fn tell(events: &Events, pods: &Pods, known: &Known, status: &PodStatus, changes: Vec<Change>) {
    if changes.is_empty() || events.sender.receiver_count() == 0 {
        return;
    }
    let sandbox = translate::sandbox_status(&known.sandbox, status);
    let containers: Vec<_> = pods
        .containers_of(&status.id)
        .iter()
        .map(|found| translate::container_status(&found.created, &found.container))
        .collect();
    for Change { container, kind } in changes {
        let id = container.map_or_else(|| status.id.to_string(), |id| id.to_string());
        events.tell(ContainerEventResponse {
            container_id: id,
            container_event_type: kind.into(),
            created_at: 0,
            pod_sandbox_status: Some(sandbox.clone()),
            containers_statuses: containers.clone(),
        });
    }
}

/// What has happened between two statuses of a pod, containers first: what they did in a sandbox they did before it stopped.
fn changes(before: &PodStatus, now: &PodStatus) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |id: &ContainerId, kind| {
        let container = Some(id.clone());
        changes.push(Change { container, kind });
    };
    for (id, container) in &now.containers {
        let old = before.containers.get(id).map(AsRef::as_ref);
        if old.is_none() {
            add(id, Kind::ContainerCreatedEvent);
        }
        if started(Some(container)) && !started(old) {
            add(id, Kind::ContainerStartedEvent);
        }
        if container.exit().is_some() && old.and_then(Container::exit).is_none() {
            add(id, Kind::ContainerStoppedEvent);
        }
    }
    for id in before.containers.keys() {
        if !now.containers.contains_key(id) {
            add(id, Kind::ContainerDeletedEvent);
        }
    }
    let stopped = |status: &PodStatus| matches!(status.phase, PodPhase::Stopped { .. });
    if stopped(now) && !stopped(before) {
        changes.push(Change {
            container: None,
            kind: Kind::ContainerStoppedEvent,
        });
    }
    changes
}

/// Whether its first process has ever run.
fn started(container: Option<&Container>) -> bool {
    match container.map(|container| &container.phase) {
        Some(ContainerPhase::Running { .. }) => true,
        Some(ContainerPhase::Exited(exit)) => exit.started_at_ns.is_some(),
        Some(ContainerPhase::Created | ContainerPhase::Starting) | None => false,
    }
}

#[cfg(test)]
mod tests;
