//! The kernel's half of a network device: one pair of queues worked on by vhost-net (linux/vhost.h, drivers/vhost). Main type:
//! [`VhostNet`], over a descriptor of /dev/vhost-net that somebody else opened. Above: `virtio`'s network device. Neighbours:
//! `doorbell` wakes it, [`Wire`](crate::interrupt::Wire) is how it interrupts.
//!
//! ```text
//! new: owner ─► features, memory ─► set_ring for both queues ─► attach both to the tap ─► detach both ─► anew or dropped
//! ```
#![expect(unsafe_code, reason = "ioctl(2) on /dev/vhost-net")]

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use libc::Ioctl;
use thiserror::Error;
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

use crate::memory::GuestRam;

/// Requests of vhost, as numbered in include/uapi/linux/vhost.h.
mod request {
    use libc::Ioctl;

    /// _IOR(0xaf, 0x00, __u64)
    pub(super) const GET_FEATURES: Ioctl = 0x8008_af00;
    /// _IOW(0xaf, 0x00, __u64)
    pub(super) const SET_FEATURES: Ioctl = 0x4008_af00;
    /// _IO(0xaf, 0x01)
    pub(super) const SET_OWNER: Ioctl = 0xaf01;
    /// _IOW(0xaf, 0x03, struct vhost_memory)
    pub(super) const SET_MEM_TABLE: Ioctl = 0x4008_af03;
    /// _IOW(0xaf, 0x10, struct vhost_vring_state)
    pub(super) const SET_VRING_NUM: Ioctl = 0x4008_af10;
    /// _IOW(0xaf, 0x11, struct vhost_vring_addr)
    pub(super) const SET_VRING_ADDR: Ioctl = 0x4028_af11;
    /// _IOW(0xaf, 0x12, struct vhost_vring_state)
    pub(super) const SET_VRING_BASE: Ioctl = 0x4008_af12;
    /// _IOW(0xaf, 0x20, struct vhost_vring_file)
    pub(super) const SET_VRING_KICK: Ioctl = 0x4008_af20;
    /// _IOW(0xaf, 0x21, struct vhost_vring_file)
    pub(super) const SET_VRING_CALL: Ioctl = 0x4008_af21;
    /// _IOW(0xaf, 0x22, struct vhost_vring_file)
    pub(super) const SET_VRING_ERR: Ioctl = 0x4008_af22;
    /// _IOW(0xaf, 0x30, struct vhost_vring_file)
    pub(super) const NET_SET_BACKEND: Ioctl = 0x4008_af30;
}

/// VHOST_FILE_UNBIND: no descriptor.
const NOBODY: RawFd = -1;

/// One pair of queues in the kernel. Its worker is a thread of this process (Linux 6.4 on; before, a kernel thread in its cgroup).
#[derive(Debug)]
pub struct VhostNet {
    fd: OwnedFd,
    features: u64,
}

/// A queue that the driver has set up, by guest addresses.
#[derive(Debug, Clone, Copy)]
pub struct VhostRing<'a> {
    /// Entries.
    pub size: u16,
    /// The descriptor table.
    pub table: u64,
    /// The available ring.
    pub available: u64,
    /// The used ring.
    pub used: u64,
    /// Where the next request is in the available ring.
    pub next: u16,
    /// Written by the driver.
    pub kick: BorrowedFd<'a>,
    /// Written to interrupt the driver.
    pub call: BorrowedFd<'a>,
    /// Written when the driver broke the ring.
    pub error: BorrowedFd<'a>,
}

/// Why the kernel does not do it.
#[derive(Debug, Error)]
pub enum VhostError {
    /// The kernel refused.
    #[error("{attempt} of vhost-net")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A ring across a hole has no one address on the host.
    #[error(
        "give vhost-net a ring at guest address {address:#x}: it does not lie in one piece of memory"
    )]
    Ring {
        /// Where it begins.
        address: u64,
    },
}

/// struct vhost_vring_state.
#[repr(C)]
struct RingState {
    index: u32,
    number: u32,
}

/// struct vhost_vring_file.
#[repr(C)]
struct RingFile {
    index: u32,
    fd: RawFd,
}

/// struct vhost_vring_addr.
#[repr(C)]
#[derive(Debug, PartialEq, Eq)]
struct RingAddresses {
    index: u32,
    flags: u32,
    table: u64,
    used: u64,
    available: u64,
    log: u64,
}

impl VhostNet {
    /// Makes this process the owner of a freshly opened /dev/vhost-net.
    ///
    /// # Errors
    /// When it is something else, or has an owner.
    pub fn new(fd: OwnedFd) -> Result<Self, VhostError> {
        let mut vhost = Self { fd, features: 0 };
        let mut features = 0_u64;
        // SAFETY: GET_FEATURES writes one u64, to `features`, which lives through the call.
        unsafe { vhost.ask(request::GET_FEATURES, &raw mut features) }
            .map_err(refused("ask for the features"))?;
        vhost.features = features;
        // SAFETY: SET_OWNER takes no argument.
        unsafe { vhost.ask(request::SET_OWNER, std::ptr::null_mut::<u8>()) }
            .map_err(refused("become the owner"))?;
        Ok(vhost)
    }

    /// The features that the kernel knows, virtio's and vhost's own.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.features
    }

    /// Says what both sides agreed on, and where the guest's memory is. Before any ring.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_up(&self, features: u64, memory: &GuestRam) -> Result<(), VhostError> {
        let mut features = features;
        // SAFETY: SET_FEATURES reads one u64, from `features`, which lives through the call.
        unsafe { self.ask(request::SET_FEATURES, &raw mut features) }
            .map_err(refused("choose the features"))?;
        let mut table = memory_table(memory);
        // SAFETY: (1) the table has as many regions as its first word says, so the kernel reads within it; (2) each region is a
        // whole mapping of `memory`. That vhost may use them as long as a queue is attached is the promise of `attach`'s caller.
        unsafe { self.ask(request::SET_MEM_TABLE, table.as_mut_ptr()) }
            .map_err(refused("set the memory table"))
    }

    /// Hands over the queue of this number: 0 is received into, 1 is transmitted from.
    ///
    /// # Errors
    /// When its rings are not in the memory, or the kernel refuses.
    pub fn set_ring(
        &self,
        index: u32,
        ring: &VhostRing<'_>,
        memory: &GuestRam,
    ) -> Result<(), VhostError> {
        let mut addresses = ring.addresses(index, memory)?;
        let number = |number: u16| RingState {
            index,
            number: number.into(),
        };
        let (mut size, mut base) = (number(ring.size), number(ring.next));
        // SAFETY: SET_VRING_NUM reads one vhost_vring_state, which lives through the call.
        unsafe { self.ask(request::SET_VRING_NUM, &raw mut size) }
            .map_err(refused("set a ring's size"))?;
        // SAFETY: SET_VRING_ADDR reads one vhost_vring_addr, which lives through the call; the kernel checks the addresses in it.
        unsafe { self.ask(request::SET_VRING_ADDR, &raw mut addresses) }
            .map_err(refused("set a ring's addresses"))?;
        // SAFETY: SET_VRING_BASE reads one vhost_vring_state, which lives through the call.
        unsafe { self.ask(request::SET_VRING_BASE, &raw mut base) }
            .map_err(refused("set a ring's place"))?;
        for (request, fd, attempt) in [
            (
                request::SET_VRING_ERR,
                ring.error,
                "set a ring's error eventfd",
            ),
            (
                request::SET_VRING_CALL,
                ring.call,
                "set a ring's call eventfd",
            ),
            (
                request::SET_VRING_KICK,
                ring.kick,
                "set a ring's kick eventfd",
            ),
        ] {
            self.set_file(request, index, fd.as_raw_fd())
                .map_err(refused(attempt))?;
        }
        Ok(())
    }

    /// Lets the kernel work on a ring, with frames from and to the tap. The memory must stay mapped until [`VhostNet::detach`]; a
    /// process that ends takes back all of it.
    ///
    /// # Errors
    /// When the tap is none, or the kernel refuses.
    pub fn attach(&self, index: u32, tap: BorrowedFd<'_>) -> Result<(), VhostError> {
        self.set_file(request::NET_SET_BACKEND, index, tap.as_raw_fd())
            .map_err(refused("attach a queue to the tap"))
    }

    /// The kernel works on the ring no more when this returns.
    ///
    /// # Errors
    /// When the kernel refuses; it does so only for a queue that it does not know.
    pub fn detach(&self, index: u32) -> Result<(), VhostError> {
        self.set_file(request::NET_SET_BACKEND, index, NOBODY)
            .map_err(refused("detach a queue from the tap"))
    }

    fn set_file(&self, request: Ioctl, index: u32, fd: RawFd) -> io::Result<()> {
        let mut file = RingFile { index, fd };
        // SAFETY: these requests read one vhost_vring_file, which lives through the call; the kernel takes its own hold of the file.
        unsafe { self.ask(request, &raw mut file) }
    }

    /// # Safety
    /// `argument` is what the request takes: it lives through the call and is as large as the request reads or writes.
    unsafe fn ask<T>(&self, request: Ioctl, argument: *mut T) -> io::Result<()> {
        // SAFETY: the caller's promise.
        let returned = unsafe { libc::ioctl(self.fd.as_raw_fd(), request, argument) };
        if returned < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl VhostRing<'_> {
    /// Where the rings are in this process (virtio 1.3, section 2.7: their sizes, the event fields included).
    fn addresses(&self, index: u32, memory: &GuestRam) -> Result<RingAddresses, VhostError> {
        let size = usize::from(self.size);
        Ok(RingAddresses {
            index,
            flags: 0,
            table: host_address(memory, self.table, size * 16)?,
            used: host_address(memory, self.used, size * 8 + 6)?,
            available: host_address(memory, self.available, size * 2 + 6)?,
            log: 0,
        })
    }
}

fn host_address(memory: &GuestRam, address: u64, length: usize) -> Result<u64, VhostError> {
    let slice = memory.get_slice(GuestAddress(address), length);
    let slice = slice.map_err(|_outside| VhostError::Ring { address })?;
    Ok(slice.ptr_guard().as_ptr().addr() as u64)
}

/// struct vhost_memory: the number of regions, then guest address, length, our address and a word of padding for each.
fn memory_table(memory: &GuestRam) -> Vec<u64> {
    let mut table = vec![memory.num_regions() as u64];
    for region in memory.iter() {
        let start = region.start_addr().raw_value();
        table.extend([start, region.len(), region.as_ptr().addr() as u64, 0]);
    }
    table
}

fn refused(attempt: &'static str) -> impl FnOnce(io::Error) -> VhostError {
    move |source| VhostError::Refused { attempt, source }
}
