//! A container as CRI says it. Main functions: [`container`], for lists, and [`container_status`].

use cri::v1::{
    Container, ContainerState, ContainerStatus, ContainerUser, ImageSpec, LinuxContainerUser,
};
use model::{ContainerId, ExitStatus, GroupsOfImage, Identity, PodId, User};
use pod::{ContainerPhase, Exit, ExitCause};

use super::{resources, signal};
use crate::note::Created;

/// Exit code of a container that never ran, as containerd has it.
const START_ERROR_CODE: i32 = 128;
/// Exit code of a container whose end nobody saw.
const UNKNOWN_CODE: i32 = 255;

/// One of a list.
pub(crate) fn container(
    pod: &PodId,
    id: &ContainerId,
    created: &Created,
    container: &pod::Container,
) -> Container {
    Container {
        id: id.to_string(),
        pod_sandbox_id: pod.to_string(),
        metadata: created.config.metadata.clone(),
        image: Some(image_spec(created)),
        image_ref: created.image.reference.clone(),
        state: state(&container.phase).into(),
        created_at: container.created_at_ns,
        labels: created.config.labels.clone(),
        annotations: created.config.annotations.clone(),
        image_id: created.image.id.clone(),
    }
}

/// All about one.
pub(crate) fn container_status(created: &Created, container: &pod::Container) -> ContainerStatus {
    let config = &created.config;
    let log = container.log.as_ref();
    let linux = config.linux.as_ref();
    let asked = linux.and_then(|linux| linux.resources.as_ref());
    let mut status = ContainerStatus {
        id: container.id.to_string(),
        metadata: config.metadata.clone(),
        state: state(&container.phase).into(),
        created_at: container.created_at_ns,
        image: Some(image_spec(created)),
        image_ref: created.image.reference.clone(),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        mounts: config.mounts.clone(),
        log_path: log.map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
        resources: resources::shown(asked, &container.spec.limits),
        image_id: created.image.id.clone(),
        stop_signal: signal::to_cri(created.stop_signal).into(),
        user: user(container),
        ..ContainerStatus::default()
    };
    match &container.phase {
        ContainerPhase::Created | ContainerPhase::Starting => {}
        ContainerPhase::Running { started_at_ns } => status.started_at = *started_at_ns,
        ContainerPhase::Exited(exit) => ended(&mut status, exit),
    }
    status
}

/// What the guest has said, which alone reads the image's files; before that only what needs no look into them.
fn user(container: &pod::Container) -> Option<ContainerUser> {
    let user = container
        .user
        .clone()
        .or_else(|| asked(&container.spec.user));
    let Identity { uid, gid, groups } = user?;
    Some(ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: uid.into(),
            gid: gid.into(),
            supplemental_groups: groups.into_iter().map(i64::from).collect(),
        }),
    })
}

fn asked(user: &User) -> Option<Identity> {
    let known = user.name.is_empty() && user.groups == GroupsOfImage::Strict;
    let (uid, gid) = user.uid.zip(user.gid).filter(|_ids| known)?;
    let groups = user.supplemental_groups.clone();
    Some(Identity { uid, gid, groups })
}

/// The name that it was made from and what the pod's author wrote.
fn image_spec(created: &Created) -> ImageSpec {
    let asked = created.config.image.clone().unwrap_or_default();
    ImageSpec {
        image: created.image.name.clone(),
        ..asked
    }
}

fn state(phase: &ContainerPhase) -> ContainerState {
    match phase {
        ContainerPhase::Created | ContainerPhase::Starting => ContainerState::ContainerCreated,
        ContainerPhase::Running { .. } => ContainerState::ContainerRunning,
        ContainerPhase::Exited(_) => ContainerState::ContainerExited,
    }
}

/// Reasons are what kubelet compares letter by letter.
fn ended(status: &mut ContainerStatus, exit: &Exit) {
    status.started_at = exit.started_at_ns.unwrap_or(0);
    status.finished_at = exit.finished_at_ns;
    let (code, reason, message) = match &exit.cause {
        ExitCause::Ended(ended) => {
            let reason = match ended {
                ExitStatus::OutOfMemory { .. } => "OOMKilled",
                ExitStatus::Exited(0) => "Completed",
                ExitStatus::Exited(_) | ExitStatus::Signaled(_) => "Error",
            };
            (ended.shell_code().into(), reason, String::new())
        }
        ExitCause::NotStarted { message } => (START_ERROR_CODE, "StartError", message.clone()),
        ExitCause::Lost { message } => (UNKNOWN_CODE, "ContainerStatusUnknown", message.clone()),
    };
    status.exit_code = code;
    reason.clone_into(&mut status.reason);
    status.message = message;
}

#[cfg(test)]
mod tests;
