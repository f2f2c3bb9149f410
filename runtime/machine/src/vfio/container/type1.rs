//! VFIO's type 1 interface (linux/vfio.h): a container, and groups that join it. Main functions: [`join`], [`map`] and [`open`]. Above:
//! `container`.
#![expect(unsafe_code, reason = "ioctl(2) on VFIO's descriptors")]

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use libc::Ioctl;
use vfio_bindings::bindings::vfio::{
    VFIO_API_VERSION, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_GROUP_FLAGS_VIABLE,
    VFIO_TYPE1v2_IOMMU, vfio_group_status, vfio_iommu_type1_dma_map,
};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use super::{
    super::{
        VfioError,
        ioctl::{ask, bytes_of, give, request},
    },
    of_container, of_function,
};
use crate::memory::GuestRam;

const GET_API_VERSION: Ioctl = request(0);
const CHECK_EXTENSION: Ioctl = request(1);
const SET_IOMMU: Ioctl = request(2);
const GROUP_GET_STATUS: Ioctl = request(3);
const GROUP_SET_CONTAINER: Ioctl = request(4);
const GROUP_GET_DEVICE_FD: Ioctl = request(6);
const IOMMU_MAP_DMA: Ioctl = request(13);

/// Joins the groups to the container, and gives it an IOMMU.
pub(super) fn join(container: BorrowedFd<'_>, groups: &[OwnedFd]) -> Result<(), VfioError> {
    let what = "VFIO's container";
    let version = give(container, GET_API_VERSION, 0).map_err(|_other| VfioError::Not { what })?;
    if i64::from(version) != i64::from(VFIO_API_VERSION) {
        return Err(VfioError::Not { what });
    }
    let type1 = VFIO_TYPE1v2_IOMMU.into();
    if !matches!(give(container, CHECK_EXTENSION, type1), Ok(1..)) {
        return Err(VfioError::NoType1);
    }
    for group in groups {
        join_one(group.as_fd(), container)?;
    }
    give(container, SET_IOMMU, type1)
        .map(drop)
        .map_err(of_container("give VFIO's container an IOMMU"))
}

fn join_one(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<(), VfioError> {
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

/// Maps all of the guest's RAM at its guest addresses.
pub(super) fn map(container: BorrowedFd<'_>, ram: &GuestRam) -> Result<(), VfioError> {
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

/// Opens a function of a group.
pub(super) fn open(group: BorrowedFd<'_>, function: &str) -> Result<OwnedFd, VfioError> {
    let text = CString::new(function).map_err(io::Error::other);
    let text = text.map_err(of_function(function, "take the name"))?;
    // SAFETY: GROUP_GET_DEVICE_FD reads a string with a zero behind it, which lives through the call.
    let opened = unsafe { ask(group, GROUP_GET_DEVICE_FD, text.as_ptr().cast_mut()) };
    let opened = opened.map_err(of_function(function, "open the descriptor"))?;
    // SAFETY: the kernel has just made the descriptor, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}
