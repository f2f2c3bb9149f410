//! Block devices of the host that a pod's guest works on itself: opened, put on the VM's bus, and taken off it with the last container that has
//! them. Main type: [`BlockDevices`]. Above: `owner`; below: `open`, `vm-client` and `agent-client`.
//!
//! One task owns them; who wants one asks it. A device has one disk for each right, whatever it is called on the host, and the disk's name says
//! which it is. A function of the host that the VM is given while it runs comes and goes in the same way. So a daemon after this one asks the monitor what is there, and the records of containers who has it; what nobody has goes.
//!
//! While there is one, the task hears of changes of the host's devices, and has the monitor look whether the one behind a disk has grown; so it does for those that
//! it finds, and for one that a further container gets.

mod functions;
#[cfg(test)]
mod loop_device;
mod open;
mod uevents;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use agent_client::Agent;
use model::{BlockDevice, ContainerId, PodId};
use tokio::sync::{mpsc, oneshot};
use vm_client::{DiskId, Monitor, PciAddress};

pub use self::open::OpenError;
use self::{
    open::{NAME, Opened},
    uevents::{Change, Uevents},
};
use crate::{Deadlines, container::Container, error::PodError, home};

/// Who waits for the task before others wait to ask it.
const WAITING: usize = 16;

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) pod: PodId,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) agent: Agent,
    pub(crate) deadlines: Deadlines,
}

/// The way to the task. When the last one is dropped the task ends, and the disks stay.
#[derive(Clone)]
pub(crate) struct BlockDevices(mpsc::Sender<Wanted>);

enum Wanted {
    Get {
        container: ContainerId,
        devices: Vec<BlockDevice>,
        reply: oneshot::Sender<Result<Vec<PciAddress>, PodError>>,
    },
    Free {
        container: ContainerId,
        reply: oneshot::Sender<Result<(), PodError>>,
    },
}

/// Who has a disk, by its place.
type Users = BTreeMap<PciAddress, BTreeSet<ContainerId>>;

struct Keeper {
    parts: Parts,
    disks: BTreeMap<Key, Disk>,
    /// While there are disks.
    uevents: Option<Uevents>,
}

/// By what a device on the VM's bus is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A block device of the host: by its disk.
    Disk(DiskId),
    /// A function of the host: by where it is there.
    Function(PciAddress),
}

/// A device that is on the VM's bus.
#[derive(Debug, PartialEq, Eq)]
struct Disk {
    address: PciAddress,
    users: BTreeSet<ContainerId>,
}

impl BlockDevices {
    /// Begins the task of a pod that has no disk yet.
    pub(crate) fn begin(parts: Parts) -> Self {
        Self::run(Keeper::new(parts), None)
    }

    /// Begins the task of a pod that another daemon has begun, with the containers that it knew of.
    pub(crate) fn recover<'a>(
        parts: Parts,
        containers: impl Iterator<Item = &'a Container>,
    ) -> Self {
        let users = users_of(containers);
        Self::run(Keeper::new(parts), Some(users))
    }

    fn run(keeper: Keeper, users: Option<Users>) -> Self {
        let (wanted, inbox) = mpsc::channel(WAITING);
        tokio::spawn(keeper.run(inbox, users));
        Self(wanted)
    }

    /// Puts a container's devices on the bus, unless they are there: all of them, or none. Where they are, in order.
    pub(crate) async fn get(
        &self,
        container: ContainerId,
        devices: Vec<BlockDevice>,
    ) -> Result<Vec<PciAddress>, PodError> {
        let (reply, answer) = oneshot::channel();
        let wanted = Wanted::Get {
            container,
            devices,
            reply,
        };
        let asked = self.0.send(wanted).await;
        asked.map_err(|_ended| PodError::TornDown)?;
        answer.await.map_err(|_ended| PodError::TornDown)?
    }

    /// Takes the devices off the bus that no other container has, once the guest has let go of them. A container that has none is fine.
    pub(crate) async fn free(&self, container: ContainerId) -> Result<(), PodError> {
        let (reply, answer) = oneshot::channel();
        let asked = self.0.send(Wanted::Free { container, reply }).await;
        asked.map_err(|_ended| PodError::TornDown)?;
        answer.await.map_err(|_ended| PodError::TornDown)?
    }
}

impl Keeper {
    fn new(parts: Parts) -> Self {
        Self {
            parts,
            disks: BTreeMap::new(),
            uevents: None,
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Wanted>, users: Option<Users>) {
        if let Some(users) = users {
            self.find(users).await;
        }
        while self.turn(&mut inbox).await {}
    }

    /// False when nobody can want anything any more.
    async fn turn(&mut self, inbox: &mut mpsc::Receiver<Wanted>) -> bool {
        tokio::select! {
            wanted = inbox.recv() => match wanted {
                Some(wanted) => self.serve(wanted).await,
                None => return false,
            },
            change = next(self.uevents.as_ref()) => self.heard(change).await,
        }
        true
    }

    /// Who went away has its devices until the container goes: its owner sees to it.
    async fn serve(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Get {
                container,
                devices,
                reply,
            } => drop(reply.send(self.get(&container, &devices).await)),
            Wanted::Free { container, reply } => drop(reply.send(self.free(&container).await)),
        }
    }

    /// What is on the bus from before, and who has it. What nobody has was being added or removed when the daemon before this one ended.
    async fn find(&mut self, users: Users) {
        self.look(users).await;
        if let Err(error) = self.sweep().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "a block device that no container has stays in the pod's VM"
            );
        }
        if !self.disks.is_empty() {
            self.listen();
            self.grow(|_id| true).await;
        }
    }

    /// Before a size is asked for: what changes later is heard.
    fn listen(&mut self) {
        if self.uevents.is_none() {
            let opened = Uevents::listen().inspect_err(|error| {
                tracing::warn!(%error, "block devices that grow will not be noticed");
            });
            self.uevents = opened.ok();
        }
    }

    async fn heard(&mut self, change: io::Result<Change>) {
        match change {
            Ok(Change::Device { major, minor }) => {
                let name = open::name(major, minor);
                self.grow(|id| id.as_str().starts_with(&name)).await;
            }
            Ok(Change::Any) => self.grow(|_id| true).await,
            Err(error) => {
                tracing::warn!(%error, "block devices that grow are not noticed any more");
                self.uevents = None;
            }
        }
    }

    /// Has the monitor look how large the devices are. The guest keeps what it has where it can't have what there is, and the log says so.
    async fn grow(&self, of: impl Fn(&DiskId) -> bool) {
        let disks = self.disks.keys().filter_map(|key| match key {
            Key::Disk(id) => Some(id),
            Key::Function(_) => None,
        });
        for id in disks.filter(|id| of(id)) {
            match self.parts.monitor.grow_block_device(id.clone()).await {
                Ok(bytes) => tracing::debug!(disk = %id, bytes, "a block device was looked at"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(disk = %id, error, "a block device's size is not the guest's");
                }
            }
        }
    }

    /// Adds what is on the bus and was not known to be.
    async fn look(&mut self, users: Users) {
        match self.parts.monitor.status().await {
            Ok(status) => {
                let mut users = users;
                let functions = functions::found(&status, &mut users);
                for (key, disk) in found(status.disks, users).into_iter().chain(functions) {
                    self.disks.entry(key).or_insert(disk);
                }
            }
            // It has ended, or will be found not to answer.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the disks of the pod's VM are not known");
            }
        }
    }

    async fn get(
        &mut self,
        container: &ContainerId,
        devices: &[BlockDevice],
    ) -> Result<Vec<PciAddress>, PodError> {
        let mut addresses = Vec::with_capacity(devices.len());
        for device in devices {
            match self.one(container, device).await {
                Ok(address) => addresses.push(address),
                Err(error) => return Err(self.undo(container, error).await),
            }
        }
        Ok(addresses)
    }

    async fn undo(&mut self, container: &ContainerId, error: PodError) -> PodError {
        if let Err(left) = self.free(container).await {
            let left = &left as &dyn std::error::Error;
            tracing::warn!(%container, left, "a block device stays in the pod's VM");
        }
        error
    }

    async fn one(
        &mut self,
        container: &ContainerId,
        device: &BlockDevice,
    ) -> Result<PciAddress, PodError> {
        let pod = self.parts.pod.to_string();
        let refused = |source| PodError::BlockDevice {
            path: device.host_path.clone(),
            pod,
            source,
        };
        if let Some(function) = &device.function {
            let place = self.function(container, device, function).await;
            return place.map_err(refused);
        }
        self.listen();
        let opened = open::open(device, self.parts.deadlines.call).await;
        let Opened { id, plan } = match opened {
            Ok(opened) => opened,
            Err(error) => return Err(refused(error)),
        };
        let key = Key::Disk(id.clone());
        if let Some(disk) = self.disks.get_mut(&key) {
            disk.users.insert(container.clone());
            let address = disk.address;
            self.grow(|known| *known == id).await;
            return Ok(address);
        }
        let added = self.parts.monitor.add_block_device(plan).await;
        let address = match added {
            Ok(address) => address,
            Err(error) => {
                // An answer that was lost may have been a yes: then it is there, and goes.
                self.look(BTreeMap::new()).await;
                return Err(refused(OpenError::Monitor(error)));
            }
        };
        let users = BTreeSet::from([container.clone()]);
        self.disks.insert(key, Disk { address, users });
        Ok(address)
    }

    async fn free(&mut self, container: &ContainerId) -> Result<(), PodError> {
        for disk in self.disks.values_mut() {
            disk.users.remove(container);
        }
        self.sweep().await
    }

    /// Takes away what nobody has. What can't be is tried again with the next one.
    async fn sweep(&mut self) -> Result<(), PodError> {
        let mut result = Ok(());
        for (key, disk) in std::mem::take(&mut self.disks) {
            let removed = match disk.users.is_empty() {
                true => self.remove(disk.address).await.map(|()| true),
                false => Ok(false),
            };
            let stays = !matches!(removed, Ok(true));
            result = result.and(removed.map(|_gone| ()));
            if stays {
                self.disks.insert(key, disk);
            }
        }
        if self.disks.is_empty() {
            self.uevents = None;
        }
        result
    }

    async fn remove(&self, address: PciAddress) -> Result<(), PodError> {
        let Parts {
            monitor,
            agent,
            deadlines,
            ..
        } = &self.parts;
        let failure = (
            "remove a block device in the guest",
            PodError::BlockDeviceStays as fn(_) -> _,
        );
        home::remove_device((monitor, agent), address, failure, deadlines.call).await
    }
}

async fn next(uevents: Option<&Uevents>) -> io::Result<Change> {
    match uevents {
        Some(uevents) => uevents.next().await,
        None => std::future::pending().await,
    }
}

fn users_of<'a>(containers: impl Iterator<Item = &'a Container>) -> Users {
    let mut users = Users::new();
    for container in containers {
        for address in &container.disks {
            let of = users.entry(*address).or_default();
            of.insert(container.id.clone());
        }
    }
    users
}

/// Those of a VM's disks that are block devices of the host.
fn found(disks: BTreeMap<DiskId, PciAddress>, mut users: Users) -> BTreeMap<Key, Disk> {
    let ours = disks
        .into_iter()
        .filter(|(id, _)| id.as_str().starts_with(NAME));
    let disk = |(id, address)| {
        let users = users.remove(&address).unwrap_or_default();
        (Key::Disk(id), Disk { address, users })
    };
    ours.map(disk).collect()
}

#[cfg(test)]
mod tests;
