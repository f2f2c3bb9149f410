//! What the owner does about its containers' volumes: which folders of the host are followed, at which sockets somebody answers, and for how long. Below:
//! `crate::volumes`, `crate::sockets`.

use super::{Owner, entry::Entry};
use crate::{
    container::Container,
    plan::{Hold, MountPlan, RootSegment, VolumeSource},
    shares::SharesLost,
    sockets::Answerer,
    state::{
        container::Stage,
        pod::{Fact, Phase},
    },
    status::PodPhase,
    volumes::{Mounted, Source, Watcher},
};

/// What of a container's mounts is not for its record.
#[derive(Default)]
pub(super) struct Images {
    /// Files, for each image in order.
    pub(super) files: Vec<Vec<RootSegment>>,
    pub(super) holds: Vec<Hold>,
}

/// Divides a container's mounts between its record and its images.
pub(super) fn divide(plans: Vec<MountPlan>) -> (Vec<Mounted>, Images) {
    let mut images = Images::default();
    let mut mounts = Vec::new();
    for MountPlan { mount, source } in plans {
        let source = match source {
            VolumeSource::Host(volume) => Source::Host(volume),
            VolumeSource::Image {
                segments,
                sub_path,
                hold,
            } => {
                images.files.push(segments);
                images.holds.push(hold);
                let image = None;
                Source::Image { image, sub_path }
            }
        };
        mounts.push(Mounted { mount, source });
    }
    (mounts, images)
}

impl Owner {
    /// Sees to it that the folders that the container mounts are followed, and that its sockets are answered at.
    pub(super) fn follow_volumes(&mut self, container: &Container) {
        let Some(agent) = self.agent.borrow().clone() else {
            return;
        };
        for mounted in &container.mounts {
            let Some((id, folder)) = mounted.source.followed() else {
                continue;
            };
            let begin =
                || Watcher::begin(agent.clone(), id.clone(), folder.to_owned(), self.deadlines);
            self.watchers.entry(id.clone()).or_insert_with(begin);
        }
        for mounted in &container.mounts {
            let Some((id, path)) = mounted.source.answered() else {
                continue;
            };
            let begin =
                || Answerer::begin(agent.clone(), id.clone(), path.to_owned(), self.deadlines);
            self.answerers.entry(id.clone()).or_insert_with(begin);
        }
    }

    /// A pod whose folders all fail is ended, so that who keeps it makes it anew: its containers first, with their last words.
    pub(super) async fn shares_lost(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        let cause = SharesLost::CAUSE;
        tracing::warn!(cause, "the pod is ended");
        self.record.phase = PodPhase::Stopped {
            cause: Some(cause.to_owned()),
        };
        self.happened(Fact::StopAsked).await;
    }

    /// Those that no container mounts any more are followed, and answered at, no more.
    pub(super) fn unfollow_volumes(&mut self) {
        let may_run = |entry: &&Entry| !matches!(entry.stage, Stage::Exited(_) | Stage::Removing);
        let entries = self.entries.values().filter(may_run);
        let mounts = entries.flat_map(|entry| &entry.container().mounts);
        let sources = mounts.map(|mounted| &mounted.source);
        let used: Vec<_> = sources
            .filter_map(|source| source.followed().or_else(|| source.answered()))
            .map(|(id, _path)| id)
            .collect();
        self.watchers.retain(|id, _watcher| used.contains(id));
        self.answerers.retain(|id, _answerer| used.contains(id));
    }
}
