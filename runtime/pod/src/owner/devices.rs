//! What brings things of the host to the bus of the owner's VM: tasks for folders and block devices, begun here, and what takes a container's away again
//! where there will be no container. Main type: [`Devices`].

use std::{path::PathBuf, sync::Arc};

use agent_client::Agent;
use tokio::sync::oneshot;

use super::{Owner, deeds, entry::Entry};
use crate::{
    Deadlines,
    block_devices::{self, BlockDevices},
    container::Container,
    disk_volumes::{self, DiskVolumes},
    home::Home,
    shares::{self, Shares, SharesLost},
    teardown::Held,
};

/// The tasks; none where there is no VM.
#[derive(Default)]
pub(super) struct Devices {
    pub(super) shares: Option<Shares>,
    /// Tells that there are no shares any more.
    pub(super) shares_lost: Option<oneshot::Receiver<SharesLost>>,
    pub(super) block_devices: Option<BlockDevices>,
    pub(super) disk_volumes: Option<DiskVolumes>,
}

impl Devices {
    /// With the containers that a record knows of, if the pod was not just launched.
    pub(super) fn begin(
        live: Option<(&Held, &Agent)>,
        known: Option<&[Container]>,
        share_server: PathBuf,
        deadlines: Deadlines,
    ) -> Self {
        let Some((held, agent)) = live else {
            return Self::default();
        };
        let (shares, shares_lost) = shares(held, share_server, deadlines).unzip();
        Self {
            shares,
            shares_lost,
            block_devices: block_devices(held, agent, known, deadlines),
            disk_volumes: disk_volumes(held, agent, deadlines),
        }
    }
}

fn shares(
    held: &Held,
    program: PathBuf,
    deadlines: Deadlines,
) -> Option<(Shares, oneshot::Receiver<SharesLost>)> {
    let parts = shares::Parts {
        program,
        folder: held.folder.path().to_owned(),
        cgroup: held.cgroup.clone(),
        monitor: Arc::clone(held.home.as_ref().and_then(Home::monitor)?),
        deadlines,
    };
    Some(Shares::begin(parts))
}

fn block_devices(
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

fn disk_volumes(held: &Held, agent: &Agent, deadlines: Deadlines) -> Option<DiskVolumes> {
    let parts = disk_volumes::Parts {
        monitor: Arc::clone(held.home.as_ref().and_then(Home::monitor)?),
        agent: agent.clone(),
        deadlines,
    };
    Some(DiskVolumes::begin(parts))
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
