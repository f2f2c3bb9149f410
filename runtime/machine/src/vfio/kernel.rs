//! The kernel's VFIO (linux/vfio.h), by its type 1 interface: container, groups, functions. Main types: [`Container`] and [`Device`],
//! over descriptors of /dev/vfio/vfio and /dev/vfio/GROUP that somebody else opened. Structures and numbers are those of
//! `vfio-bindings`; `vfio-ioctls` opens paths itself, which the monitor can't.
#![expect(unsafe_code, reason = "ioctl(2) on VFIO's descriptors")]

#[cfg(test)]
mod tests;

use std::{
    ffi::CString,
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::Arc,
};

use kvm_bindings::{
    KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, kvm_create_device, kvm_device_attr,
    kvm_device_type_KVM_DEV_TYPE_VFIO,
};
use kvm_ioctls::DeviceFd;
use libc::Ioctl;
use rustix::io::{pread, pwrite};
use vfio_bindings::bindings::vfio::{
    VFIO_API_VERSION, VFIO_BASE, VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET,
    VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_GROUP_FLAGS_VIABLE,
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
    VFIO_REGION_INFO_FLAG_CAPS, VFIO_REGION_INFO_FLAG_MMAP, VFIO_TYPE, VFIO_TYPE1v2_IOMMU,
    vfio_device_info, vfio_group_status, vfio_iommu_type1_dma_map, vfio_irq_info, vfio_region_info,
};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use super::{
    Hardware, Mapping, Region, Signal, VfioError,
    hardware::{CONFIG, RegionIndex},
};
use crate::{kvm::Vm, kvm::refused, memory::GuestRam};

/// VFIO's requests are all _IO(VFIO_TYPE, VFIO_BASE + number).
const fn request(number: u32) -> Ioctl {
    ((VFIO_TYPE as Ioctl) << 8) | (VFIO_BASE + number) as Ioctl
}

const GET_API_VERSION: Ioctl = request(0);
const CHECK_EXTENSION: Ioctl = request(1);
const SET_IOMMU: Ioctl = request(2);
const GROUP_GET_STATUS: Ioctl = request(3);
const GROUP_SET_CONTAINER: Ioctl = request(4);
const GROUP_GET_DEVICE_FD: Ioctl = request(6);
const DEVICE_GET_INFO: Ioctl = request(7);
const DEVICE_GET_REGION_INFO: Ioctl = request(8);
const DEVICE_GET_IRQ_INFO: Ioctl = request(9);
const DEVICE_SET_IRQS: Ioctl = request(10);
const DEVICE_RESET: Ioctl = request(11);
const IOMMU_MAP_DMA: Ioctl = request(13);

/// An answer about a region is no longer; a few hundred sparse areas fit.
const REGION_INFO_BYTES: u32 = 8192;
/// struct vfio_irq_set without its data: argsz, flags, index, start, count.
const IRQ_SET_WORDS: u32 = 5;

/// The IOMMU domain of one guest: all of its RAM, and the groups that may reach it. Ends with the last function.
#[derive(Debug)]
pub struct Container {
    groups: Vec<OwnedFd>,
    /// Holds KVM's interest in the groups (cache coherency).
    _kvm: DeviceFd,
    /// The mappings in the IOMMU go with it.
    _fd: OwnedFd,
    /// What is pinned stays mapped as long.
    _ram: GuestRam,
}

impl Container {
    /// Joins the groups to the container, and maps all of the guest's RAM for DMA at its guest addresses. Nothing can reach the RAM yet.
    ///
    /// # Errors
    /// When a descriptor is something else, a group is not viable, or the RAM can't be pinned.
    pub fn new(
        vm: &Vm,
        ram: &GuestRam,
        fd: OwnedFd,
        groups: Vec<OwnedFd>,
    ) -> Result<Self, VfioError> {
        let what = "VFIO's container";
        let version =
            give(fd.as_fd(), GET_API_VERSION, 0).map_err(|_other| VfioError::Not { what })?;
        if i64::from(version) != i64::from(VFIO_API_VERSION) {
            return Err(VfioError::Not { what });
        }
        let type1 = VFIO_TYPE1v2_IOMMU.into();
        if !matches!(give(fd.as_fd(), CHECK_EXTENSION, type1), Ok(1..)) {
            return Err(VfioError::NoType1);
        }
        for group in &groups {
            join(group.as_fd(), fd.as_fd())?;
        }
        give(fd.as_fd(), SET_IOMMU, type1)
            .map_err(of_container("give VFIO's container an IOMMU"))?;
        map_all(fd.as_fd(), ram)?;
        let kvm = tell_kvm(vm, &groups)?;
        Ok(Self {
            groups,
            _kvm: kvm,
            _fd: fd,
            _ram: ram.clone(),
        })
    }

    /// Opens a function of one of the groups, by its address on the host, and resets it.
    ///
    /// # Errors
    /// When it is not in that group, is none of PCI, or does not come out of the reset.
    pub fn open(self: &Arc<Self>, group: usize, function: &str) -> Result<Device, VfioError> {
        let name = function.to_owned();
        let group = self.groups.get(group).ok_or_else(|| VfioError::NoGroup {
            function: name.clone(),
            group,
        })?;
        let failed = |attempt| {
            let function = name.clone();
            move |source| VfioError::Function {
                function,
                attempt,
                source,
            }
        };
        let text = CString::new(function).map_err(io::Error::other);
        let text = text.map_err(failed("take the name"))?;
        // SAFETY: GROUP_GET_DEVICE_FD reads a string with a zero behind it, which lives through the call.
        let opened = unsafe { ask(group.as_fd(), GROUP_GET_DEVICE_FD, text.as_ptr().cast_mut()) };
        let opened = opened.map_err(failed("open the descriptor"))?;
        // SAFETY: the kernel has just made the descriptor, for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(opened) };
        let mut info = vfio_device_info {
            argsz: bytes_of::<vfio_device_info>(),
            ..Default::default()
        };
        // SAFETY: DEVICE_GET_INFO writes at most `argsz` bytes to `info`, which lives through the call.
        unsafe { ask(fd.as_fd(), DEVICE_GET_INFO, &raw mut info) }
            .map_err(failed("ask for the kind"))?;
        if info.flags & VFIO_DEVICE_FLAGS_PCI == 0 {
            let why = "it is no function of PCI";
            return Err(VfioError::Unfit {
                function: name,
                why,
            });
        }
        let mut device = Device {
            name: name.clone(),
            fd,
            resettable: info.flags & VFIO_DEVICE_FLAGS_RESET != 0,
            offsets: Vec::new(),
            _container: Arc::clone(self),
        };
        for index in 0..=CONFIG {
            let (info, _) = device.info(index).map_err(failed("find the regions"))?;
            device.offsets.push(info.offset);
        }
        device.reset().map_err(failed("reset the device"))?;
        Ok(device)
    }
}

fn join(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<(), VfioError> {
    let mut status = vfio_group_status {
        argsz: bytes_of::<vfio_group_status>(),
        flags: 0,
    };
    let what = "a VFIO group";
    // SAFETY: GROUP_GET_STATUS writes one vfio_group_status, which lives through the call.
    unsafe { ask(group, GROUP_GET_STATUS, &raw mut status) }
        .map_err(|_other| VfioError::Not { what })?;
    if status.flags & VFIO_GROUP_FLAGS_VIABLE == 0 {
        return Err(VfioError::NotViable);
    }
    let mut number = container.as_raw_fd();
    // SAFETY: GROUP_SET_CONTAINER reads one int, which lives through the call.
    unsafe { ask(group, GROUP_SET_CONTAINER, &raw mut number) }
        .map(drop)
        .map_err(of_container("join a VFIO group to its container"))
}

fn map_all(container: BorrowedFd<'_>, ram: &GuestRam) -> Result<(), VfioError> {
    for region in ram.iter() {
        let mut map = vfio_iommu_type1_dma_map {
            argsz: bytes_of::<vfio_iommu_type1_dma_map>(),
            flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
            vaddr: region.as_ptr().addr() as u64,
            iova: region.start_addr().raw_value(),
            size: region.len(),
        };
        // SAFETY: (1) the request reads one vfio_iommu_type1_dma_map, which lives through the call; (2) the range is a whole mapping of
        // `ram`, of which `Container` keeps a clone; (3) this process touches it by volatile accesses only.
        unsafe { ask(container, IOMMU_MAP_DMA, &raw mut map) }.map_err(|source| {
            VfioError::Pin {
                bytes: region.len(),
                source,
            }
        })?;
    }
    Ok(())
}

/// KVM has to know: whether DMA bypasses the caches decides what it does with WBINVD (Documentation/virt/kvm/devices/vfio.rst).
fn tell_kvm(vm: &Vm, groups: &[OwnedFd]) -> Result<DeviceFd, VfioError> {
    let mut create = kvm_create_device {
        type_: kvm_device_type_KVM_DEV_TYPE_VFIO,
        fd: 0,
        flags: 0,
    };
    let device = vm.fd().create_device(&mut create);
    let device = device.map_err(refused("make KVM's VFIO device"))?;
    for group in groups {
        let number = group.as_raw_fd();
        let attribute = kvm_device_attr {
            flags: 0,
            group: KVM_DEV_VFIO_GROUP,
            attr: KVM_DEV_VFIO_GROUP_ADD.into(),
            addr: ptr::from_ref(&number).addr() as u64,
        };
        let added = device.set_device_attr(&attribute);
        added.map_err(refused("tell KVM of a VFIO group"))?;
    }
    Ok(device)
}

/// One function of the host, open.
#[derive(Debug)]
pub struct Device {
    name: String,
    fd: OwnedFd,
    resettable: bool,
    /// Where each region begins in the descriptor.
    offsets: Vec<u64>,
    _container: Arc<Container>,
}

impl Device {
    /// What the kernel says of a region, capabilities behind it.
    fn info(&self, index: RegionIndex) -> io::Result<(vfio_region_info, Vec<u8>)> {
        let words = usize::try_from(REGION_INFO_BYTES / 8).unwrap_or_default();
        let mut words = vec![0_u64; words];
        let asked = vfio_region_info {
            argsz: REGION_INFO_BYTES,
            index,
            ..Default::default()
        };
        let place = words.as_mut_ptr().cast::<vfio_region_info>();
        // SAFETY: the words are more than a vfio_region_info, and aligned as it is.
        unsafe { place.write(asked) };
        // SAFETY: DEVICE_GET_REGION_INFO writes at most `argsz` bytes, which is how long the words are.
        unsafe { ask(self.fd.as_fd(), DEVICE_GET_REGION_INFO, place) }?;
        // SAFETY: it was written above, and any bytes are one.
        let info = unsafe { place.read() };
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
        Ok((info, bytes.collect()))
    }

    fn place(&self, region: RegionIndex, offset: u64) -> io::Result<u64> {
        let index = usize::try_from(region).map_err(io::Error::other)?;
        let start = self.offsets.get(index);
        start
            .and_then(|start| start.checked_add(offset))
            .ok_or_else(outside)
    }
}

impl Hardware for Device {
    fn name(&self) -> &str {
        &self.name
    }

    fn region(&self, index: RegionIndex) -> io::Result<Region> {
        let (info, bytes) = self.info(index)?;
        let mut mappable = Vec::new();
        if info.flags & VFIO_REGION_INFO_FLAG_MMAP != 0 {
            let sparse = (info.flags & VFIO_REGION_INFO_FLAG_CAPS != 0)
                .then(|| sparse_areas(&bytes, info.cap_offset))
                .flatten();
            mappable = sparse.unwrap_or_else(|| std::iter::once(0..info.size).collect());
        }
        Ok(Region {
            size: info.size,
            mappable,
        })
    }

    fn read(&self, region: RegionIndex, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let length = data.len();
        let read = pread(&self.fd, data, self.place(region, offset)?)?;
        if read == length {
            Ok(())
        } else {
            Err(outside())
        }
    }

    fn write(&self, region: RegionIndex, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = pwrite(&self.fd, data, self.place(region, offset)?)?;
        if written == data.len() {
            Ok(())
        } else {
            Err(outside())
        }
    }

    fn map(&self, region: RegionIndex, part: &Range<u64>) -> io::Result<Mapping> {
        let length = part.end.saturating_sub(part.start);
        Mapping::of(self.fd.as_fd(), self.place(region, part.start)?, length)
    }

    fn signals(&self, signal: Signal) -> io::Result<u32> {
        let mut info = vfio_irq_info {
            argsz: bytes_of::<vfio_irq_info>(),
            index: index_of(signal),
            ..Default::default()
        };
        // SAFETY: DEVICE_GET_IRQ_INFO writes one vfio_irq_info, which lives through the call.
        unsafe { ask(self.fd.as_fd(), DEVICE_GET_IRQ_INFO, &raw mut info) }?;
        Ok(info.count)
    }

    fn signal(&self, signal: Signal, eventfds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let count = u32::try_from(eventfds.len()).map_err(io::Error::other)?;
        let data = match count {
            0 => VFIO_IRQ_SET_DATA_NONE,
            _ => VFIO_IRQ_SET_DATA_EVENTFD,
        };
        let header = [
            (IRQ_SET_WORDS + count) * 4,
            data | VFIO_IRQ_SET_ACTION_TRIGGER,
            index_of(signal),
            0,
            count,
        ];
        let numbers = eventfds.iter().map(|fd| fd.as_raw_fd().cast_unsigned());
        let mut set: Vec<u32> = header.into_iter().chain(numbers).collect();
        // SAFETY: DEVICE_SET_IRQS reads `argsz` bytes, which is how long the words are.
        unsafe { ask(self.fd.as_fd(), DEVICE_SET_IRQS, set.as_mut_ptr()) }.map(drop)
    }

    fn reset(&self) -> io::Result<()> {
        if !self.resettable {
            return Ok(());
        }
        give(self.fd.as_fd(), DEVICE_RESET, 0).map(drop)
    }
}

/// The areas of a sparse region, from the chain of capabilities behind a vfio_region_info. Each begins with id and version (16 bits
/// each) and the place of the next (32 bits), counted from the start of the answer.
fn sparse_areas(answer: &[u8], first: u32) -> Option<Vec<Range<u64>>> {
    let word = |at: usize| {
        let bytes = answer.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let long = |at: usize| {
        let bytes = answer.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let mut at = usize::try_from(first).ok()?;
    // A chain that goes round ends with the answer's length: a link only leads on.
    while at > 0 {
        if word(at)? & 0xffff == VFIO_REGION_INFO_CAP_SPARSE_MMAP {
            let count = usize::try_from(word(at + 8)?).ok()?;
            let areas = (0..count).map_while(|area| {
                let start = long(at + 16 + area * 16)?;
                let end = start.checked_add(long(at + 24 + area * 16)?)?;
                Some(start..end)
            });
            return Some(areas.collect());
        }
        let next = usize::try_from(word(at + 4)?).ok()?;
        at = if next > at { next } else { 0 };
    }
    None
}

fn index_of(signal: Signal) -> u32 {
    match signal {
        Signal::Msi => VFIO_PCI_MSI_IRQ_INDEX,
        Signal::MsiX => VFIO_PCI_MSIX_IRQ_INDEX,
    }
}

fn bytes_of<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

fn outside() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

fn of_container(attempt: &'static str) -> impl FnOnce(io::Error) -> VfioError {
    move |source| VfioError::Refused { attempt, source }
}

/// For requests whose argument is a number, or nothing.
fn give(fd: BorrowedFd<'_>, request: Ioctl, number: u64) -> io::Result<i32> {
    // SAFETY: the requests that this is used for take no pointer.
    answer(unsafe { libc::ioctl(fd.as_raw_fd(), request, number) })
}

/// # Safety
/// `argument` is what the request takes: it lives through the call and is as large as the request reads or writes.
unsafe fn ask<T>(fd: BorrowedFd<'_>, request: Ioctl, argument: *mut T) -> io::Result<i32> {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) })
}

fn answer(returned: i32) -> io::Result<i32> {
    match returned {
        0.. => Ok(returned),
        _ => Err(io::Error::last_os_error()),
    }
}
