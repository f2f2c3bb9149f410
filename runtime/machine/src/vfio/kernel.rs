//! One function of the host, open (linux/vfio.h). Main type: [`Device`], over a descriptor that `container` came by. Structures and numbers
//! are those of `vfio-bindings`; `vfio-ioctls` opens paths itself, which the monitor can't.
#![expect(unsafe_code, reason = "ioctl(2) on VFIO's descriptors")]

#[cfg(test)]
mod tests;

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use libc::Ioctl;
use rustix::io::{pread, pwrite};
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_MSI_IRQ_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX, VFIO_REGION_INFO_CAP_SPARSE_MMAP, VFIO_REGION_INFO_FLAG_CAPS,
    VFIO_REGION_INFO_FLAG_MMAP, vfio_device_info, vfio_irq_info, vfio_region_info,
};

use super::{
    Container, Hardware, Mapping, Region, Signal, VfioError,
    hardware::{CONFIG, RegionIndex},
    ioctl::{ask, bytes_of, give, request},
};

const DEVICE_GET_INFO: Ioctl = request(7);
const DEVICE_GET_REGION_INFO: Ioctl = request(8);
const DEVICE_GET_IRQ_INFO: Ioctl = request(9);
const DEVICE_SET_IRQS: Ioctl = request(10);
const DEVICE_RESET: Ioctl = request(11);

/// An answer about a region is no longer; a few hundred sparse areas fit.
const REGION_INFO_BYTES: u32 = 8192;
/// struct vfio_irq_set without its data: argsz, flags, index, start, count.
const IRQ_SET_WORDS: u32 = 5;

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
    /// A function whose descriptor this is, after a reset.
    pub(super) fn of(
        function: &str,
        fd: OwnedFd,
        container: Arc<Container>,
    ) -> Result<Self, VfioError> {
        let name = function.to_owned();
        let failed = |attempt| {
            let function = name.clone();
            move |source| VfioError::Function {
                function,
                attempt,
                source,
            }
        };
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
        let mut device = Self {
            name: name.clone(),
            fd,
            resettable: info.flags & VFIO_DEVICE_FLAGS_RESET != 0,
            offsets: Vec::new(),
            _container: container,
        };
        for index in 0..=CONFIG {
            let (info, _) = device.info(index).map_err(failed("find the regions"))?;
            device.offsets.push(info.offset);
        }
        device.reset().map_err(failed("reset the device"))?;
        Ok(device)
    }

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

fn outside() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}
