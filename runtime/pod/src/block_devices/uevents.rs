//! What the host's kernel says of its block devices: that one has changed, its size perhaps. Main type: [`Uevents`]. Above: the task that has disks over them.
//!
//! A netlink socket (`lib/kobject_uevent.c`): every change of a disk's capacity is told there (`block/genhd.c`, set_capacity_and_notify), and so are resumed
//! device-mapper tables. Nobody else tells a runtime: after NodeExpandVolume the kubelet makes no call for a block device.

#[cfg(test)]
mod tests;

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind,
        netlink::{KOBJECT_UEVENT, SocketAddrNetlink},
        recv, socket_with,
    },
};
use tokio::io::unix::AsyncFd;

use crate::watched::watched;

/// The multicast group of the kernel's own messages; those of udev have another one.
const OF_KERNEL: u32 = 1;

/// Room for a message: the kernel's have 2 KiB of variables (UEVENT_BUFFER_SIZE) and a path.
const MESSAGE_BYTES: usize = 8 << 10;

/// A socket that hears of changes from its making on.
#[derive(Debug)]
pub(super) struct Uevents(AsyncFd<OwnedFd>);

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The block device of this number.
    Device { major: u32, minor: u32 },
    /// Perhaps any: messages were lost.
    Any,
}

impl Uevents {
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::NETLINK, kind, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, OF_KERNEL))?;
        Ok(Self(watched(socket)?))
    }

    /// Waits for a block device to change. May be given up and called again.
    pub(super) async fn next(&self) -> io::Result<Change> {
        let mut buffer = [0; MESSAGE_BYTES];
        loop {
            let mut ready = self.0.readable().await?;
            let received = ready.try_io(|socket| {
                let (length, _whole) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
                Ok(length)
            });
            let length = match received {
                Err(_not_ready) => continue,
                Ok(Ok(length)) => length,
                // The socket is full: it hears again what comes next (netlink(7)).
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                    return Ok(Change::Any);
                }
                Ok(Err(error)) => return Err(error),
            };
            if let Some(change) = change(buffer.get(..length).unwrap_or_default()) {
                return Ok(change);
            }
        }
    }
}

/// What a message says, if it is of a block device that has changed: a line for people, then variables, each with a 0 behind it.
fn change(message: &[u8]) -> Option<Change> {
    let variables = || message.split(|byte| *byte == 0).skip(1);
    let variable = |name: &str| {
        let mut values = variables().filter_map(|text| std::str::from_utf8(text).ok());
        values.find_map(|text| text.strip_prefix(name)?.strip_prefix('='))
    };
    if variable("SUBSYSTEM")? != "block" || variable("ACTION")? != "change" {
        return None;
    }
    Some(Change::Device {
        major: variable("MAJOR")?.parse().ok()?,
        minor: variable("MINOR")?.parse().ok()?,
    })
}
