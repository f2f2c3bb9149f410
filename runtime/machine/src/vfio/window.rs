//! Pages of a device in the guest's address space: the guest reaches them without an exit. Main types: [`Mapping`], the pages in this
//! process, and [`Window`], a mapping with a memory slot of KVM, which follows its BAR.
#![expect(
    unsafe_code,
    reason = "mmap(2) at an address of our choice, and KVM's memory slots"
)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use kvm_bindings::kvm_userspace_memory_region;

use crate::{
    kvm::{KvmError, Vm, refused},
    memory::PAGE_BYTES,
};

/// The largest page that the kernel can map a device with: a BAR of 256 GiB is 256 of them.
const HUGEST_PAGE_BYTES: u64 = 1 << 30;

/// Pages of a file, mapped shared; unmapped when dropped. They are a device's, so nothing here reads or writes them.
#[derive(Debug)]
pub struct Mapping {
    address: usize,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes of a file from `offset` on, both multiples of a page. As aligned as it is long, up to the largest page: the
    /// kernel itself aligns to small ones only, and would map a large BAR page by page.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn of(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<Self> {
        let align = length
            .checked_next_power_of_two()
            .ok_or(io::ErrorKind::InvalidInput)?
            .clamp(PAGE_BYTES, HUGEST_PAGE_BYTES);
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let align = usize::try_from(align).map_err(io::Error::other)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let room = length
            .checked_add(align)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that is there; nobody can use its pages.
        let whole = unsafe { libc::mmap(ptr::null_mut(), room, libc::PROT_NONE, flags, -1, 0) };
        if whole == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let before = whole.addr().wrapping_neg() % align;
        let place = whole.cast::<u8>().wrapping_add(before);
        unmap(whole.addr(), before);
        unmap(place.addr() + length, align - before);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let fd = file.as_raw_fd();
        // SAFETY: the bytes are those reserved above, of which nobody else knows.
        let mapped = unsafe { libc::mmap(place.cast(), length, protection, flags, fd, offset) };
        if mapped == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            unmap(place.addr(), length);
            return Err(error);
        }
        Ok(Self {
            address: place.addr(),
            length,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        unmap(self.address, self.length);
    }
}

/// Unmaps pages that this file has mapped.
fn unmap(address: usize, length: usize) {
    if length == 0 {
        return;
    }
    // SAFETY: the callers have mapped these pages, and nothing refers to them: they were given to KVM only, which has given them back.
    let unmapped = unsafe { libc::munmap(ptr::without_provenance_mut(address), length) };
    debug_assert_eq!(unmapped, 0, "what was mapped can be unmapped");
}

/// A mapping that the guest sees, or does not at the moment.
#[derive(Debug)]
pub(super) struct Window {
    vm: Vm,
    slot: u32,
    /// In its BAR.
    offset: u64,
    place: Option<u64>,
    mapping: Mapping,
}

impl Window {
    /// A window at this offset of a BAR that decodes nowhere.
    pub(super) fn new(vm: &Vm, offset: u64, mapping: Mapping) -> Self {
        Self {
            vm: vm.clone(),
            slot: vm.take_slot(),
            offset,
            place: None,
            mapping,
        }
    }

    /// Follows the BAR to its guest address, or nowhere.
    pub(super) fn follow(&mut self, bar: Option<u64>) -> Result<(), KvmError> {
        let place = bar.map(|bar| bar + self.offset);
        if place == self.place {
            return Ok(());
        }
        // KVM moves no slot to other pages in one step, and an old one must not stay if the new one is refused.
        if let Some(old) = self.place.take() {
            self.set(old, 0)?;
        }
        let Some(new) = place else {
            return Ok(());
        };
        self.set(new, self.mapping.length as u64)?;
        self.place = Some(new);
        Ok(())
    }

    fn set(&self, guest_address: u64, length: u64) -> Result<(), KvmError> {
        let region = kvm_userspace_memory_region {
            slot: self.slot,
            flags: 0,
            guest_phys_addr: guest_address,
            memory_size: length,
            userspace_addr: self.mapping.address as u64,
        };
        // SAFETY: 1. the range is one whole mapping, or none; 2. `Drop` takes the slot away before the mapping goes; 3. this process
        // never touches the pages; 4. the bus lets BARs decode inside its windows only, where no RAM is, and not over one another.
        unsafe { self.vm.fd().set_user_memory_region(region) }
            .map_err(refused("give the guest pages of a device"))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // KVM refuses only what it does not know, and then there is nothing to take back.
        self.follow(None).ok();
        self.vm.give_slot_back(self.slot);
    }
}

#[cfg(test)]
mod tests;
