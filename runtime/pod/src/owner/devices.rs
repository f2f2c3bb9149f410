//! What brings things of the host to the bus of the owner's VM: tasks for folders and block devices, begun here, and what takes a container's away again
//! where there will be no container. Main functions: [`shares`], [`block_devices`].

use std::{path::PathBuf, sync::Arc};

use agent_client::Agent;

use super::{Owner, deeds, entry::Entry};
use crate::{
    Deadlines,
    block_devices::{self, BlockDevices},
    container::Container,
    home::Home,
    shares::{self, Shares},
    teardown::Held,
};

pub(super) fn shares(held: &Held, program: PathBuf, deadlines: Deadlines) -> Option<Shares> {
    let parts = shares::Parts {
        program,
        folder: held.folder.path().to_owned(),
        cgroup: held.cgroup.clone(),
        monitor: Arc::clone(held.home.as_ref().and_then(Home::monitor)?),
        deadlines,
    };
    Some(Shares::begin(parts))
}

/// With the containers that a record knows of, if the pod was not just launched.
pub(super) fn block_devices(
    held: &Held,
    agent: &Agent,
    known: Option<&[Container]>,
    deadlines: Deadlines,
) -> Option<BlockDevices> {
    let parts = block_devices::Parts {
        pod: held.pod.clone(),
        monitor: Arc::clone(held.home.as_ref().and_then(Home::monitor)?),
        agent: agent.clone(),
        deadlines,
    };
    Some(match known {
        Some(containers) => BlockDevices::recover(parts, containers.iter()),
        None => BlockDevices::begin(parts),
    })
}

impl Owner {
    /// Takes away what a container that could not be kept has on the bus; the agent has not seen it.
    pub(super) fn release_images(&mut self, entry: Option<&Entry>) {
        if let (Some(home), Some(entry)) = (self.home.clone(), entry) {
            let (id, images) = (entry.container().id.clone(), entry.container().images());
            let devices = self.block_devices.clone();
            self.deeds
                .spawn(deeds::take_away(home, id, images, devices));
        }
    }
}
