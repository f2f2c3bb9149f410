//! A function without an IOMMU: configuration space and BARs are files in memory. Main type: [`Fake`], whose [`Record`] says what was
//! asked of it. For tests alone.

use std::{
    fs::File,
    io,
    ops::Range,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    sync::{Arc, Mutex},
};

use super::{Hardware, Mapping, Region, Signal, hardware::CONFIG};

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    /// A kind of interrupt was switched to so many.
    Signal(Signal, usize),
    Reset,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Record(Arc<Mutex<Vec<Deed>>>);

impl Record {
    pub(super) fn take(&self) -> Vec<Deed> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn add(&self, deed: Deed) {
        self.0.lock().unwrap().push(deed);
    }
}

#[derive(Debug)]
pub(super) struct Fake {
    config: Vec<u8>,
    /// BARs 0 to 5, then nothing, then configuration space.
    regions: Vec<(File, Region)>,
    pub(super) record: Record,
    /// Interrupts that the host has left.
    pub(super) most: usize,
}

impl Fake {
    /// BARs of these sizes, all of which can be mapped.
    pub(super) fn new(config: &[u8], bars: [u64; 6]) -> Self {
        let region = |size: u64| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(size.next_multiple_of(4096)).unwrap();
            let mappable = std::iter::once(0..size).collect();
            (file, Region { size, mappable })
        };
        let mut regions: Vec<_> = bars.into_iter().map(region).collect();
        regions.push(region(0));
        regions.push(region(config.len() as u64));
        let fake = Self {
            config: config.to_vec(),
            regions,
            record: Record::default(),
            most: usize::MAX,
        };
        fake.file(CONFIG).write_all_at(&fake.config, 0).unwrap();
        fake
    }

    /// What the device itself has in a region.
    pub(super) fn file(&self, region: u32) -> &File {
        &self.regions[usize::try_from(region).unwrap()].0
    }
}

impl Hardware for Fake {
    fn name(&self) -> &'static str {
        "0000:41:00.0"
    }

    fn region(&self, index: u32) -> io::Result<Region> {
        Ok(self.regions[usize::try_from(index).unwrap()].1.clone())
    }

    fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.file(region).read_exact_at(data, offset)
    }

    fn write(&self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file(region).write_all_at(data, offset)
    }

    fn map(&self, region: u32, part: &Range<u64>) -> io::Result<Mapping> {
        Mapping::of(self.file(region).as_fd(), part.start, part.end - part.start)
    }

    fn signals(&self, _signal: Signal) -> io::Result<u32> {
        Ok(u32::MAX)
    }

    fn signal(&self, signal: Signal, eventfds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if eventfds.len() > self.most {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.record.add(Deed::Signal(signal, eventfds.len()));
        Ok(())
    }

    fn reset(&self) -> io::Result<()> {
        self.record.add(Deed::Reset);
        Ok(())
    }
}

/// Configuration space of a PCIe endpoint, 4096 bytes: identity, BARs and capabilities as a builder.
#[derive(Debug, Clone)]
pub(super) struct Space(pub(super) Vec<u8>);

impl Space {
    pub(super) fn new() -> Self {
        let mut bytes = vec![0; 4096];
        bytes[0..4].copy_from_slice(&[0x86, 0x80, 0x34, 0x12]);
        bytes[0x3d] = 1;
        Self(bytes)
    }

    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Capabilities one after the other: place, id, body.
    pub(super) fn capabilities(self, list: &[(u8, u8, &[u8])]) -> Self {
        let mut space = self.put(0x06, &[1 << 4]);
        let mut link = 0x34;
        for (start, id, body) in list {
            let at = usize::from(*start);
            space = space
                .put(link, &[*start])
                .put(at, &[*id, 0])
                .put(at + 2, body);
            link = at + 1;
        }
        space
    }

    /// Extended capabilities one after the other: place, id, first word of the body.
    pub(super) fn extended(self, list: &[(usize, u16, u32)]) -> Self {
        let mut space = self;
        for (index, (at, id, body)) in list.iter().enumerate() {
            let next = list.get(index + 1).map_or(0, |(next, ..)| *next);
            let header = u32::from(*id) | 1 << 16 | u32::try_from(next).unwrap() << 20;
            space = space
                .put(*at, &header.to_le_bytes())
                .put(*at + 4, &body.to_le_bytes());
        }
        space
    }
}
