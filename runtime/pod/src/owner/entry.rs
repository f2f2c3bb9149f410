//! What the owner keeps of one container. Main type: [`Entry`].

use std::sync::Arc;

use model::{Identity, Limits};
use tokio::sync::oneshot;

use crate::{
    container::{Container, ContainerPhase, ExitCause},
    error::PodError,
    handle::Streams,
    home::Places,
    output::Follower,
    plan::{Hold, OutputTo},
    state::container::Stage,
    volumes::Source,
};

pub(super) struct Entry {
    /// As it was shown last; the stage is ahead of it until the next publication.
    container: Arc<Container>,
    pub(super) stage: Stage,
    pub(super) output: OutputTo,
    /// Locks on its image.
    pub(super) hold: Option<Hold>,
    /// Copies its output to its log, and to those who attach.
    pub(super) follower: Option<Follower>,
    pub(super) start_reply: Option<oneshot::Sender<Result<Option<Streams>, PodError>>>,
    /// Kept until the container has settled, if its start failed.
    pub(super) start_error: Option<PodError>,
    pub(super) remove_reply: Option<oneshot::Sender<Result<(), PodError>>>,
    /// Whether its limits are being changed; one change after the other, for each counts from the limits before it.
    pub(super) updating: bool,
    /// Whether its root is where the agent can mount it, and so others may see it.
    pub(super) ready: bool,
}

impl Entry {
    /// A container whose root is not in place yet.
    pub(super) fn new(container: Container, output: OutputTo, hold: Hold) -> Self {
        Self {
            container: Arc::new(container),
            stage: Stage::Created,
            output,
            hold: Some(hold),
            follower: None,
            start_reply: None,
            start_error: None,
            remove_reply: None,
            updating: false,
            ready: false,
        }
    }

    /// A container of a record.
    pub(super) fn recovered(container: Container) -> Self {
        let stage = match &container.phase {
            ContainerPhase::Created => Stage::Created,
            ContainerPhase::Starting => Stage::Starting { ended: None },
            ContainerPhase::Running { started_at_ns } => Stage::Running {
                started_at_ns: *started_at_ns,
            },
            ContainerPhase::Exited(exit) => Stage::Exited(exit.clone()),
        };
        // A caller that had its streams was the daemon before this one.
        let output = container
            .log
            .clone()
            .map_or(OutputTo::Nowhere, OutputTo::Log);
        Self {
            container: Arc::new(container),
            stage,
            output,
            hold: None,
            follower: None,
            start_reply: None,
            start_error: None,
            remove_reply: None,
            updating: false,
            ready: true,
        }
    }

    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    pub(super) fn set_images(&mut self, places: Places) {
        let container = Arc::make_mut(&mut self.container);
        container.image = Some(places.root);
        container.disks = places.disks;
        let mut images = places.images.into_iter();
        for mounted in &mut container.mounts {
            if let Source::Image { image, .. } = &mut mounted.source {
                *image = images.next();
            }
        }
    }

    /// None is there any more.
    pub(super) fn forget_images(&mut self) {
        if self.container.images().is_empty() {
            return;
        }
        let container = Arc::make_mut(&mut self.container);
        container.image = None;
        container.disks.clear();
        for mounted in &mut container.mounts {
            if let Source::Image { image, .. } = &mut mounted.source {
                *image = None;
            }
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        if self.container.spec.limits != limits {
            Arc::make_mut(&mut self.container).spec.limits = limits;
        }
    }

    pub(super) fn set_user(&mut self, user: Option<Identity>) {
        Arc::make_mut(&mut self.container).user = user;
    }

    /// The container as the record keeps it.
    pub(super) fn recorded(&mut self) -> Container {
        if let Some(phase) = self.stage.phase()
            && self.container.phase != phase
        {
            Arc::make_mut(&mut self.container).phase = phase;
        }
        Container::clone(&self.container)
    }

    /// The container as the record keeps it once its output is in its log, which others don't see yet.
    pub(super) fn over(&self) -> Container {
        let mut container = Container::clone(&self.container);
        if let Stage::Ending(exit) | Stage::Exited(exit) = &self.stage {
            container.phase = ContainerPhase::Exited(exit.clone());
        }
        container
    }

    /// The container as others see it, if they see it at all.
    pub(super) fn shown(&mut self) -> Option<Arc<Container>> {
        let phase = self.stage.phase().filter(|_| self.ready)?;
        if self.container.phase != phase {
            Arc::make_mut(&mut self.container).phase = phase;
        }
        Some(Arc::clone(&self.container))
    }

    /// What was asked for when the container was found to be over before it ran.
    pub(super) fn answer_start(&mut self) {
        let Some(reply) = self.start_reply.take() else {
            return;
        };
        let error = self.start_error.take().unwrap_or_else(|| {
            let why = match &self.stage {
                Stage::Exited(exit) => match &exit.cause {
                    ExitCause::NotStarted { message } | ExitCause::Lost { message } => {
                        message.clone()
                    }
                    ExitCause::Ended(status) => format!("it {status}"),
                },
                _ => "it is not there any more".to_owned(),
            };
            PodError::ContainerState {
                container: self.container.id.to_string(),
                attempt: "start",
                because: why,
            }
        });
        // A caller that went away needs no answer.
        drop(reply.send(Err(error)));
    }
}
