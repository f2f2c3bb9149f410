//! The answer to each request. Main function: [`answer`].

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor::{
    BlockDevice, Disk, DiskId, Fd, HostFunction, Nic, PciAddress, Received, Reply, Request, Share,
    ShareServer, ShareStatus, ShareTag, Status, VERSION, limits,
};

use crate::{assemble::Machine, last_words::chain, launch::Parcel};

/// Answers a request; false when the client can't be talked to any more.
pub(super) fn answer(machine: &mut Machine, client: &OwnedFd, received: Received<Request>) -> bool {
    let Received { message, fds } = received;
    match message {
        Request::Status => {
            let reply = Reply::Status(status(machine));
            send(client, &reply, &[machine.pidfd.as_fd()])
        }
        Request::AddDisk(disk) => send(client, &add_disk(machine, &disk, fds), &[]),
        Request::AddBlockDevice(device) => {
            send(client, &add_block_device(machine, &device, fds), &[])
        }
        Request::GrowBlockDevice { id } => send(client, &grow_block_device(machine, &id), &[]),
        Request::AddNic(nic) => send(client, &add_nic(machine, &nic, fds), &[]),
        Request::AddShare(share) => send(client, &add_share(machine, &share, fds), &[]),
        Request::AddFunction(function) => send(client, &add_function(machine, &function, fds), &[]),
        Request::RemoveDevice { pci_address } => {
            send(client, &remove_device(machine, pci_address), &[])
        }
        // The loop takes it before.
        Request::Stop => true,
    }
}

/// Refuses what is no request. The connection stays usable: each packet stands for itself.
pub(super) fn refuse(client: &OwnedFd, error: &monitor::ReceiveError) -> bool {
    let lost = matches!(error, monitor::ReceiveError::Socket(_));
    !lost && send(client, &refused(error), &[])
}

fn send(client: &OwnedFd, reply: &Reply, fds: &[BorrowedFd<'_>]) -> bool {
    monitor::send(client, reply, fds).is_ok()
}

fn status(machine: &Machine) -> Status {
    let mut exits: BTreeMap<String, u64> = BTreeMap::new();
    for counts in &machine.counts {
        let totals = counts.totals();
        for (kind, count) in [
            ("port-reads", totals.port_reads),
            ("port-writes", totals.port_writes),
            ("memory-reads", totals.memory_reads),
            ("memory-writes", totals.memory_writes),
            ("interrupted", totals.interrupted),
            ("others", totals.others),
        ] {
            *exits.entry(kind.to_owned()).or_default() += count;
        }
    }
    Status {
        version: VERSION,
        name: machine.name.clone(),
        pidfd: Fd(0),
        uptime_us: u64::try_from(machine.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        memory_bytes: machine.memory_bytes,
        processors: u8::try_from(machine.counts.len()).unwrap_or(u8::MAX),
        disks: machine.disks.iter().map(disk_status).collect(),
        nics: machine.nics.clone(),
        shares: machine.shares.iter().map(share_status).collect(),
        vfio: machine.functions.clone(),
        later_functions: later_functions(machine),
        exits,
    }
}

fn later_functions(machine: &Machine) -> BTreeSet<PciAddress> {
    let opener = machine.opener.as_ref();
    opener
        .map(|opener| opener.later.clone())
        .unwrap_or_default()
}

fn disk_status((id, disk): (&DiskId, &crate::assemble::Disk)) -> (DiskId, PciAddress) {
    (id.clone(), disk.pci_address)
}

fn share_status((tag, share): (&ShareTag, &crate::assemble::Share)) -> (ShareTag, ShareStatus) {
    let server = if share.connection.is_up() {
        ShareServer::Up
    } else {
        ShareServer::Gone
    };
    let status = ShareStatus {
        pci_address: share.pci_address,
        server,
    };
    (tag.clone(), status)
}

fn add_disk(machine: &mut Machine, disk: &Disk, fds: Vec<OwnedFd>) -> Reply {
    if let Some(reason) = no_room(machine, &disk.id) {
        return Reply::Refused { reason };
    }
    if let Err(error) = disk.check(fds.len()) {
        return refused(&error);
    }
    let device = match Parcel::new(fds).disk(disk) {
        Ok(device) => device,
        Err(error) => return refused(&error),
    };
    match machine.add_disk(disk.id.clone(), device) {
        Ok(pci_address) => Reply::Added { pci_address },
        Err(error) => refused(&error),
    }
}

fn add_block_device(machine: &mut Machine, device: &BlockDevice, fds: Vec<OwnedFd>) -> Reply {
    if let Some(reason) = no_room(machine, &device.id) {
        return Reply::Refused { reason };
    }
    if let Err(error) = device.check(fds.len()) {
        return refused(&error);
    }
    let disk = match Parcel::new(fds).block_device(device) {
        Ok(disk) => disk,
        Err(error) => return refused(&error),
    };
    match machine.add_disk(device.id.clone(), disk) {
        Ok(pci_address) => Reply::Added { pci_address },
        Err(error) => refused(&error),
    }
}

fn grow_block_device(machine: &Machine, id: &DiskId) -> Reply {
    let Some(disk) = machine.disks.get(id) else {
        let reason = format!("there is no disk {id}");
        return Reply::Refused { reason };
    };
    match disk.growth.look() {
        Ok(bytes) => Reply::Length { bytes },
        Err(error) => refused(&error),
    }
}

/// Why no disk of this id can be added.
fn no_room(machine: &Machine, id: &DiskId) -> Option<String> {
    if machine.disks.contains_key(id) {
        return Some(format!("a disk {id} is on the bus already"));
    }
    let most = limits::DISKS;
    let full = machine.disks.len() >= most;
    full.then(|| format!("{most} disks are on the bus, which is all that fit"))
}

fn add_nic(machine: &mut Machine, nic: &Nic, fds: Vec<OwnedFd>) -> Reply {
    let refuse = |reason| Reply::Refused { reason };
    if machine.nics.contains_key(&nic.id) {
        return refuse(format!("a NIC {} is on the bus already", nic.id));
    }
    let mut others = machine.nics.iter();
    if let Some((id, _)) = others.find(|(_, other)| other.mac == nic.mac) {
        return refuse(format!("NIC {id} has the MAC address {} already", nic.mac));
    }
    if machine.nics.len() >= limits::NICS {
        return refuse(format!(
            "{} NICs are on the bus, which is all that fit",
            limits::NICS
        ));
    }
    if let Err(error) = nic.check(fds.len()) {
        return refused(&error);
    }
    let device = match Parcel::new(fds).nic(nic) {
        Ok(device) => device,
        Err(error) => return refused(&error),
    };
    match machine.add_nic(nic, device) {
        Ok(pci_address) => Reply::Added { pci_address },
        Err(error) => refused(&error),
    }
}

fn add_share(machine: &mut Machine, share: &Share, fds: Vec<OwnedFd>) -> Reply {
    let refuse = |reason| Reply::Refused { reason };
    if machine.shares.contains_key(&share.tag) {
        return refuse(format!("a share {} is on the bus already", share.tag));
    }
    if machine.shares.len() >= limits::SHARES {
        return refuse(format!(
            "{} share is on the bus, which is all that a machine has: put the folder into its tree",
            limits::SHARES
        ));
    }
    if let Err(error) = share.check(fds.len()) {
        return refused(&error);
    }
    let device = match Parcel::new(fds).share(share) {
        Ok(device) => device,
        Err(error) => return refused(&error),
    };
    match machine.add_share(share.tag.clone(), device) {
        Ok(pci_address) => Reply::Added { pci_address },
        Err(error) => refused(&error),
    }
}

fn add_function(machine: &mut Machine, function: &HostFunction, fds: Vec<OwnedFd>) -> Reply {
    let refuse = |reason| Reply::Refused { reason };
    let host_address = function.host_address;
    if machine.functions.contains_key(&host_address) {
        return refuse(format!(
            "the function {host_address} of the host is on the bus already"
        ));
    }
    let Some(opener) = &machine.opener else {
        return refuse("the machine was not started for functions of the host".to_owned());
    };
    if let Some(reason) = opener.full() {
        return refuse(reason);
    }
    if let Err(error) = function.check(fds.len()) {
        return refused(&error);
    }
    let parts = match Parcel::new(fds).function(function) {
        Ok(parts) => parts,
        Err(error) => return refused(&error),
    };
    let opened = match opener.open_later(function, parts) {
        Ok(opened) => opened,
        Err(error) => return refused(&error),
    };
    match machine.add_function(host_address, opened) {
        Ok(pci_address) => {
            if let Some(opener) = &mut machine.opener {
                opener.later.insert(host_address);
            }
            Reply::Added { pci_address }
        }
        Err(error) => refused(&error),
    }
}

/// Only disks, NICs, shares and functions of the host go: the guest can't do without the others.
fn remove_device(machine: &mut Machine, address: PciAddress) -> Reply {
    let mut disks = machine.disks.values();
    let is_disk = disks.any(|disk| disk.pci_address == address);
    let is_nic = machine.nics.values().any(|nic| nic.pci_address == address);
    let mut shares = machine.shares.values();
    let is_share = shares.any(|share| share.pci_address == address);
    let mut functions = machine.functions.iter();
    let given = functions.find(|(_, place)| **place == address);
    let given = given.map(|(host_address, _)| *host_address);
    if !is_disk && !is_nic && !is_share && given.is_none() {
        return Reply::Refused {
            reason: format!(
                "there is no disk, no NIC, no share and no function of the host at {address}"
            ),
        };
    }
    let PciAddress {
        segment: _,
        bus,
        device,
        function,
    } = address;
    let place = machine::pci::PciAddress {
        bus,
        device,
        function,
    };
    if let Err(error) = machine.board.remove(place) {
        return refused(&error);
    }
    machine.disks.retain(|_, disk| disk.pci_address != address);
    machine.nics.retain(|_, nic| nic.pci_address != address);
    machine
        .shares
        .retain(|_, share| share.pci_address != address);
    if let Some(host_address) = given {
        machine.functions.remove(&host_address);
        if let Some(opener) = &mut machine.opener {
            opener.later.remove(&host_address);
        }
    }
    Reply::Removed
}

fn refused(error: &dyn std::error::Error) -> Reply {
    Reply::Refused {
        reason: bounded(chain(error)),
    }
}

/// A text that fits into a message.
pub(crate) fn bounded(mut text: String) -> String {
    let end = (0..=limits::TEXT_BYTES.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}
