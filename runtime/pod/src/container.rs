//! A container as its pod knows it and as its record keeps it. Main types: [`Container`], [`ContainerPhase`], [`Exit`]. `state` decides about
//! its phase, the owner changes it, front doors read it.

use std::path::PathBuf;

use model::{ContainerId, ContainerSpec, ExitStatus, Identity};
use serde::{Deserialize, Serialize};
use vm_client::PciAddress;

use crate::{
    home::ImagePlace,
    volumes::{Mounted, Source},
};

/// What a front door wants kept with a pod or a container and given back after a restart. `pod` does not look into it.
pub type Note = serde_json::Value;

/// One container, from its creation to its removal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// The front door's own.
    pub note: Note,
    /// What it runs.
    pub spec: ContainerSpec,
    /// When it was created, in nanoseconds since 1970.
    pub created_at_ns: i64,
    /// Where it is in its life.
    pub phase: ContainerPhase,
    /// Who its first process was when it was executed: what was asked for, with all names looked up in the guest.
    #[serde(default)]
    pub user: Option<Identity>,
    /// Where its output goes, if to a file.
    pub log: Option<PathBuf>,
    /// Size of the writable layer, in bytes.
    pub(crate) writable_bytes: u64,
    /// Where its root is, while it is there.
    #[serde(rename = "disk")]
    pub(crate) image: Option<ImagePlace>,
    /// What it mounts.
    #[serde(default)]
    pub(crate) mounts: Vec<Mounted>,
    /// Where its block devices are, in the order of its specification, while they are there.
    #[serde(default)]
    pub(crate) disks: Vec<PciAddress>,
}

impl Container {
    /// Whether something can be done in it: its first process runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.phase, ContainerPhase::Running { .. })
    }
}

/// Where a container is in its life; the arrows are in `state::container`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerPhase {
    /// Its root is where the agent can mount it; nothing runs.
    Created,
    /// Its first process is being executed.
    Starting,
    /// Its first process runs, or has ended and its output is still on the way.
    Running {
        /// Since when, in nanoseconds since 1970.
        started_at_ns: i64,
    },
    /// It is over; all its output has arrived, and nothing of it is left with the agent.
    Exited(Exit),
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When it started, in nanoseconds since 1970, if it did.
    pub started_at_ns: Option<i64>,
    /// When it ended, in nanoseconds since 1970.
    pub finished_at_ns: i64,
    /// How.
    pub cause: ExitCause,
}

/// How a container came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// Its first process ended.
    Ended(ExitStatus),
    /// Its first process could not be executed.
    NotStarted {
        /// Why, for people.
        message: String,
    },
    /// Its guest ended, or can't be asked any more.
    Lost {
        /// Why, for people.
        message: String,
    },
}

impl Container {
    /// The images that it has where the agent can mount them: its root, and those that it mounts.
    pub(crate) fn images(&self) -> Vec<ImagePlace> {
        let image = |mounted: &Mounted| match &mounted.source {
            Source::Image { image, .. } => image.clone(),
            Source::Host(_) => None,
        };
        let mounted = self.mounts.iter().filter_map(image);
        self.image.clone().into_iter().chain(mounted).collect()
    }

    /// Its end, if it has ended.
    #[must_use]
    pub fn exit(&self) -> Option<&Exit> {
        match &self.phase {
            ContainerPhase::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}
