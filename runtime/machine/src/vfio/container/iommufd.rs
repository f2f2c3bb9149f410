//! iommufd (linux/iommufd.h) with VFIO's cdevs, Linux 6.6 and newer: an address space, and functions that attach to it. Main functions:
//! [`make`], [`map`] and [`attach`]; [`account_by_process`], for who is still privileged. Above: `container`.
//!
//! Structures and numbers are those of `iommufd-bindings`; `iommufd-ioctls` opens /dev/iommu by its path, or wants to own what it is given.
#![expect(unsafe_code, reason = "ioctl(2) on iommufd's and VFIO's descriptors")]

use std::os::fd::{AsRawFd, BorrowedFd};

use iommufd_bindings::{
    IOMMUFD_CMD_IOAS_ALLOC, IOMMUFD_CMD_IOAS_MAP, IOMMUFD_CMD_OPTION, IOMMUFD_TYPE,
    iommu_ioas_alloc, iommu_ioas_map, iommu_option,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE, iommufd_option_IOMMU_OPTION_RLIMIT_MODE,
};
use libc::Ioctl;
use vfio_bindings::bindings::vfio::{vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use super::{
    super::{
        VfioError,
        ioctl::{ask, bytes_of, request},
    },
    of_container, of_function,
};
use crate::memory::GuestRam;

const DEVICE_BIND_IOMMUFD: Ioctl = request(18);
const DEVICE_ATTACH_IOMMUFD_PT: Ioctl = request(19);

const ALLOCATE: Ioctl = of_iommufd(IOMMUFD_CMD_IOAS_ALLOC);
const MAP: Ioctl = of_iommufd(IOMMUFD_CMD_IOAS_MAP);
const OPTION: Ioctl = of_iommufd(IOMMUFD_CMD_OPTION);

/// For IOMMU_OPTION_RLIMIT_MODE.
const BY_PROCESS: u64 = 1;

/// iommufd's requests are all _IO(IOMMUFD_TYPE, number).
const fn of_iommufd(number: u32) -> Ioctl {
    ((IOMMUFD_TYPE as Ioctl) << 8) | number as Ioctl
}

/// What is pinned counts for the process that pins it, as with type 1, and not for all of its user's processes together: all monitors have
/// one user. It has to be said before anything is made, and by who has CAP_SYS_RESOURCE on the host.
///
/// # Errors
/// When the descriptor is something else, or the kernel refuses.
pub fn account_by_process(iommufd: BorrowedFd<'_>) -> Result<(), VfioError> {
    let mut option = iommu_option {
        size: bytes_of::<iommu_option>(),
        option_id: iommufd_option_IOMMU_OPTION_RLIMIT_MODE,
        val64: BY_PROCESS,
        ..Default::default()
    };
    // SAFETY: the request reads one iommu_option, which lives through the call.
    unsafe { ask(iommufd, OPTION, &raw mut option) }
        .map(drop)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTTY) => VfioError::Not { what: "an iommufd" },
            _ => of_container("have the memory that iommufd pins counted for this process")(error),
        })
}

/// Makes an empty address space; its number.
pub(super) fn make(iommufd: BorrowedFd<'_>) -> Result<u32, VfioError> {
    let mut made = iommu_ioas_alloc {
        size: bytes_of::<iommu_ioas_alloc>(),
        ..Default::default()
    };
    let what = "an iommufd";
    // SAFETY: the request reads and writes one iommu_ioas_alloc, which lives through the call.
    unsafe { ask(iommufd, ALLOCATE, &raw mut made) }.map_err(|_other| VfioError::Not { what })?;
    Ok(made.out_ioas_id)
}

/// Maps all of the guest's RAM at its guest addresses. It is pinned when the first function attaches.
pub(super) fn map(
    iommufd: BorrowedFd<'_>,
    address_space: u32,
    ram: &GuestRam,
) -> Result<(), VfioError> {
    for region in ram.iter() {
        let mut map = iommu_ioas_map {
            size: bytes_of::<iommu_ioas_map>(),
            flags: iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA
                | iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE
                | iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE,
            ioas_id: address_space,
            user_va: region.as_ptr().addr() as u64,
            length: region.len(),
            iova: region.start_addr().raw_value(),
            ..Default::default()
        };
        // SAFETY: (1) the request reads and writes one iommu_ioas_map, which lives through the call; (2) the range is a whole mapping of
        // `ram`, of which `Container` keeps a clone; (3) this process touches it by volatile accesses only.
        unsafe { ask(iommufd, MAP, &raw mut map) }.map_err(|source| VfioError::Pin {
            bytes: region.len(),
            source,
        })?;
    }
    Ok(())
}

/// Takes the function for this iommufd, and lets it reach the address space, in which there are so many bytes.
pub(super) fn attach(
    cdev: BorrowedFd<'_>,
    iommufd: BorrowedFd<'_>,
    (address_space, bytes): (u32, u64),
    function: &str,
) -> Result<(), VfioError> {
    let mut bind = vfio_device_bind_iommufd {
        argsz: bytes_of::<vfio_device_bind_iommufd>(),
        iommufd: iommufd.as_raw_fd(),
        ..Default::default()
    };
    // SAFETY: the request reads and writes one vfio_device_bind_iommufd, which lives through the call.
    unsafe { ask(cdev, DEVICE_BIND_IOMMUFD, &raw mut bind) }.map_err(|source| {
        match source.raw_os_error() {
            Some(libc::ENOTTY) => VfioError::Not {
                what: "a VFIO cdev",
            },
            _ => VfioError::Bind {
                function: function.to_owned(),
                source,
            },
        }
    })?;
    let mut attach = vfio_device_attach_iommufd_pt {
        argsz: bytes_of::<vfio_device_attach_iommufd_pt>(),
        pt_id: address_space,
        ..Default::default()
    };
    // SAFETY: the request reads and writes one vfio_device_attach_iommufd_pt, which lives through the call.
    unsafe { ask(cdev, DEVICE_ATTACH_IOMMUFD_PT, &raw mut attach) }
        .map(drop)
        .map_err(|source| match source.raw_os_error() {
            Some(libc::ENOMEM) => VfioError::Pin { bytes, source },
            _ => of_function(function, "give the guest's memory to the IOMMU")(source),
        })
}
