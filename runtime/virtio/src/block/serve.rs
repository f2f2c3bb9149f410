//! Serves a disk's requests. Main type: [`DiskBackend`], which gets a thread of its own, for storage makes it wait. Above:
//! [`Disk`](super::Disk) makes it. Below: `request` decides, [`Layout`] has the files, the queue moves the bytes.
//!
//! Data goes between files and guest memory directly; serving a request allocates nothing.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use rustix::fs::fdatasync;
use virtio_bindings::virtio_blk::VIRTIO_BLK_F_FLUSH;

use super::{
    Access, Identity, Storage, clear,
    layout::Layout,
    request::{self, HEADER_BYTES, RANGE_BYTES, Request, Shape, Status},
};
use crate::{
    backend::{Backend, BackendError, Kick},
    limits,
    queue::{Ring, chain::Chain},
};

/// What to serve.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) layout: Arc<Layout>,
    pub(super) access: Access,
    pub(super) identity: Identity,
    pub(super) storage: Storage,
    /// Negotiated.
    pub(super) features: u64,
}

/// A disk at work.
#[derive(Debug)]
pub(super) struct DiskBackend {
    job: Job,
    ring: Ring,
    kick: Kick,
    chain: Chain,
}

impl DiskBackend {
    pub(super) fn new(job: Job, ring: Ring, kick: Kick) -> Self {
        Self {
            chain: ring.chain(),
            job,
            ring,
            kick,
        }
    }

    /// Serves what is there, up to a bound.
    fn drain(&mut self) -> Result<Drained, BackendError> {
        self.ring.disarm()?;
        for _ in 0..limits::DISK_REQUESTS_PER_RUN {
            if self.ring.pop(&mut self.chain)? {
                let written = self.job.answer(&mut self.chain);
                self.ring.push(self.chain.head(), written)?;
                // Not once for all, for each may take its time. With EVENT_IDX the driver says when it wants to hear of it.
                self.ring.signal()?;
            } else if !self.ring.arm()? {
                return Ok(Drained::Empty);
            }
        }
        Ok(Drained::More)
    }
}

/// How a run ended.
enum Drained {
    Empty,
    More,
}

impl Backend for DiskBackend {
    fn wake(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.kick.clear()?;
        match self.drain()? {
            Drained::Empty => Ok(()),
            Drained::More => self.kick.again(),
        }
    }
}

impl Job {
    /// Serves one request and writes its status. Returns how many bytes of the writable part are valid, from its start.
    fn answer(&self, chain: &mut Chain) -> u32 {
        let shape = Shape {
            readable: chain.readable.len(),
            writable: chain.writable.len(),
        };
        // No byte for the status: nothing can be said, and nothing is done.
        let Some(status_at) = shape.writable.checked_sub(1) else {
            return 0;
        };
        let mut header = [0; HEADER_BYTES];
        let status = match chain.readable.copy_to(0, &mut header) {
            Ok(()) => self.try_request(header, shape, chain),
            Err(_short) => Status::IoError,
        };
        let written = chain.writable.copy_from(status_at, &[status.byte()]);
        match (status, written) {
            (Status::Ok, Ok(())) => u32::try_from(shape.writable).unwrap_or(u32::MAX),
            // The status lies after data that was not written: nothing is valid from the start (section 2.7.8.2).
            _ => u32::from(status_at == 0),
        }
    }

    fn try_request(&self, header: [u8; HEADER_BYTES], shape: Shape, chain: &mut Chain) -> Status {
        let decided = request::decide(header, shape, self.access, self.features);
        let done = decided.and_then(|request| match request {
            Request::Read { start, length } => self.read(chain, start, length),
            Request::Write { start, length } => self.write(chain, start, length),
            Request::Flush => self.flush(),
            Request::Identify => {
                let identity = chain.writable.copy_from(0, &self.identity.0);
                identity.map_err(|_short| Status::IoError)
            }
            Request::Discard { ranges } | Request::WriteZeroes { ranges } => {
                (0..ranges).try_for_each(|index| self.clear(chain, request, index))
            }
        });
        done.err().unwrap_or(Status::Ok)
    }

    fn read(&self, chain: &mut Chain, start: u64, length: usize) -> Result<(), Status> {
        let mut parts = self
            .layout
            .parts(start, bytes(length))
            .ok_or(Status::IoError)?;
        let read = parts.try_for_each(|part| {
            let range = index(part.range.start)..index(part.range.end);
            let file = part.file.as_fd();
            chain.writable.read_from_file(file, part.position, range)
        });
        read.map_err(io_error)
    }

    fn write(&self, chain: &mut Chain, start: u64, length: usize) -> Result<(), Status> {
        let mut parts = self
            .layout
            .parts(start, bytes(length))
            .ok_or(Status::IoError)?;
        let written = parts.try_for_each(|part| {
            let range =
                index(part.range.start) + HEADER_BYTES..index(part.range.end) + HEADER_BYTES;
            let file = part.file.as_fd();
            chain.readable.write_to_file(file, part.position, range)
        });
        written.map_err(io_error)?;
        self.write_through()
    }

    fn clear(&self, chain: &Chain, request: Request, index: usize) -> Result<(), Status> {
        let mut range = [0; RANGE_BYTES];
        let place = HEADER_BYTES + index * RANGE_BYTES;
        let copied = chain.readable.copy_to(place, &mut range);
        copied.map_err(|_short| Status::IoError)?;
        let (start, length, clearing) = request::range(request, range)?;
        let mut parts = self.layout.parts(start, length).ok_or(Status::IoError)?;
        let cleared = parts.try_for_each(|part| {
            let length = part.range.end - part.range.start;
            clear::clear(part.file, (part.position, length), clearing, self.storage)
        });
        cleared.map_err(io_error)?;
        self.write_through()
    }

    fn flush(&self) -> Result<(), Status> {
        if self.access == Access::ReadOnly {
            return Ok(());
        }
        let synced = self.layout.files().try_for_each(fdatasync);
        synced.map_err(|error| io_error(error.into()))
    }

    /// A driver without FLUSH counts on each write being safe when it is answered (section 5.2.5.2).
    fn write_through(&self) -> Result<(), Status> {
        if self.features & 1 << VIRTIO_BLK_F_FLUSH == 0 {
            return self.flush();
        }
        Ok(())
    }
}

/// The storage's error, as a disk can say it. The guest's kernel reports the place.
fn io_error(_error: io::Error) -> Status {
    Status::IoError
}

/// A chain's length as a disk's. No loss: a `usize` fits.
fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A place within a chain. No loss: it came from the chain's length.
fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
