//! Taps: the guest's ends of its interfaces. Main function: [`open`], which runs in the pod's namespace and gives a file descriptor per
//! queue for the monitor's network device.

use std::{
    fs::{File, OpenOptions},
    io,
    num::NonZeroU8,
    os::fd::OwnedFd,
};

use libc::{EINVAL, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR};
use thiserror::Error;

use crate::sys;

/// `struct virtio_net_hdr_v1`, which every modern device has before its packets (virtio 1.3, section 5.1.6).
const HEADER_BYTES: i32 = 12;

/// A tap that could not be opened.
#[derive(Debug, Error)]
pub enum TapError {
    /// The device of all taps.
    #[error("open /dev/net/tun: is the kernel's module tun loaded?")]
    Device(#[source] io::Error),
    /// One queue.
    #[error("open queue {queue} of tap {name}")]
    Queue {
        /// The tap.
        name: String,
        /// From 0.
        queue: u8,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Its header.
    #[error("set the header of tap {name} to {HEADER_BYTES} bytes")]
    Header {
        /// The tap.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Makes a tap with so many queues.
pub(crate) fn open(name: &str, queues: NonZeroU8) -> Result<Vec<OwnedFd>, TapError> {
    let several = if queues.get() > 1 { IFF_MULTI_QUEUE } else { 0 };
    (0..queues.get())
        .map(|queue| open_queue(name, queue, several))
        .collect()
}

/// Opens a tap that a plugin made: with several queues if it was made for that, else with one.
pub(crate) fn open_foreign(name: &str, queues: NonZeroU8) -> Result<Vec<OwnedFd>, TapError> {
    match open_queue(name, 0, IFF_MULTI_QUEUE) {
        // The kernel insists on the kind that it was made as.
        Err(TapError::Queue { source, .. }) if source.raw_os_error() == Some(EINVAL) => {
            Ok(vec![open_queue(name, 0, 0)?])
        }
        first => {
            let more = (1..queues.get()).map(|queue| open_queue(name, queue, IFF_MULTI_QUEUE));
            std::iter::once(first).chain(more).collect()
        }
    }
}

fn open_queue(name: &str, queue: u8, several: i32) -> Result<OwnedFd, TapError> {
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(TapError::Device)?;
    let flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | several;
    sys::attach_queue(&file, name, flags).map_err(|source| TapError::Queue {
        name: name.to_owned(),
        queue,
        source,
    })?;
    sys::set_header_size(&file, HEADER_BYTES).map_err(|source| TapError::Header {
        name: name.to_owned(),
        source,
    })?;
    Ok(file.into())
}
