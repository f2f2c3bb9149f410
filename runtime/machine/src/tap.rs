//! One queue of a tap, as its maker handed it in. Main type: [`Tap`]. It is asked what it is and told what its reader understands
//! (linux/if_tun.h); frames are moved by `virtio`'s queue, or by [`vhost`](crate::vhost) in the kernel.
#![expect(unsafe_code, reason = "ioctl(2) on a tap")]

#[cfg(test)]
mod tests;

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use libc::{
    IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE, IFF_MULTI_QUEUE, IFF_TAP, IFF_VNET_HDR, TUNGETIFF,
    TUNGETVNETHDRSZ, TUNSETOFFLOAD, TUNSETQUEUE, c_int, c_short, c_uint, c_ulong, ifreq,
};
use thiserror::Error;

/// Bytes in front of each frame: struct virtio_net_hdr_mrg_rxbuf of linux/virtio_net.h, which is virtio 1.3's header (5.1.6).
pub const HEADER_BYTES: usize = 12;

/// A queue of a tap. It does not block.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    name: String,
    multi_queue: bool,
    /// Gets its share of the frames that the host sends.
    attached: AtomicBool,
}

/// Why a descriptor is no tap of ours.
#[derive(Debug, Error)]
pub enum TapError {
    /// Something else, or a tap whose interface is gone.
    #[error("use a descriptor as a tap: it is none, or its interface has been deleted")]
    NotATap {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Made in another way.
    #[error("use the tap {name}: it was made without {missing}")]
    Mode {
        /// The interface.
        name: String,
        /// The flag of TUNSETIFF.
        missing: &'static str,
    },
    /// Made for a legacy device.
    #[error(
        "use the tap {name}: its header has {bytes} bytes; set it to {HEADER_BYTES} with TUNSETVNETHDRSZ"
    )]
    Header {
        /// The interface.
        name: String,
        /// What is set.
        bytes: c_int,
    },
    /// The kernel refused.
    #[error("{attempt} of the tap {name}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The interface.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl Tap {
    /// Takes a tap that was made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR and has a header of [`HEADER_BYTES`].
    ///
    /// # Errors
    /// When it is none, or made in another way.
    pub fn new(fd: OwnedFd) -> Result<Self, TapError> {
        let (name, flags) = interface(fd.as_fd()).map_err(|source| TapError::NotATap { source })?;
        let has = |flag: c_int| c_int::from(flags) & flag != 0;
        // IFF_NO_PI can't be told: TUNGETIFF sets the same bit for "no filter" (IFF_NOFILTER, drivers/net/tun.c).
        for (flag, missing) in [(IFF_TAP, "IFF_TAP"), (IFF_VNET_HDR, "IFF_VNET_HDR")] {
            if !has(flag) {
                return Err(TapError::Mode { name, missing });
            }
        }
        let tap = Self {
            fd,
            name,
            multi_queue: has(IFF_MULTI_QUEUE),
            attached: AtomicBool::new(true),
        };
        let bytes = tap
            .header_bytes()
            .map_err(tap.refused("ask for the header"))?;
        if usize::try_from(bytes) != Ok(HEADER_BYTES) {
            let name = tap.name;
            return Err(TapError::Header { name, bytes });
        }
        tap.set_nonblocking()
            .map_err(tap.refused("unblock a queue"))?;
        Ok(tap)
    }

    /// The interface's name, in the namespace where it was made.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Can the interface have other queues beside this one?
    #[must_use]
    pub fn is_multi_queue(&self) -> bool {
        self.multi_queue
    }

    /// Says which unfinished frames (TUN_F_*) the reader understands; others are finished by the host before.
    ///
    /// # Errors
    /// When the kernel does not know one of them.
    pub fn set_offloads(&self, offloads: c_uint) -> io::Result<()> {
        let offloads = c_ulong::from(offloads);
        // SAFETY: TUNSETOFFLOAD takes a number and touches no memory of ours.
        done(unsafe { libc::ioctl(self.fd.as_raw_fd(), TUNSETOFFLOAD, offloads) })
    }

    /// Gives this queue a share of the host's frames, or none. One queue alone has them all.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(&self, attached: bool) -> io::Result<()> {
        if !self.multi_queue || self.attached.load(Ordering::Acquire) == attached {
            return Ok(());
        }
        let mut request = no_request();
        let flag = if attached {
            IFF_ATTACH_QUEUE
        } else {
            IFF_DETACH_QUEUE
        };
        request.ifr_ifru.ifru_flags = c_short::try_from(flag).map_err(io::Error::other)?;
        // SAFETY: `request` is a whole ifreq that lives through the call.
        done(unsafe { libc::ioctl(self.fd.as_raw_fd(), TUNSETQUEUE, &raw const request) })?;
        self.attached.store(attached, Ordering::Release);
        Ok(())
    }

    /// Throws away a frame that waits; false when there is none. For frames from before their reader.
    pub fn discard(&self) -> bool {
        let mut start = [0_u8; HEADER_BYTES];
        let (place, length) = (start.as_mut_ptr(), start.len());
        // SAFETY: the kernel writes at most `length` bytes to `start`, which lives through the call.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), place.cast(), length) };
        read > 0
    }

    /// For `map_err`.
    pub fn refused(&self, attempt: &'static str) -> impl FnOnce(io::Error) -> TapError {
        let name = self.name.clone();
        move |source| TapError::Refused {
            attempt,
            name,
            source,
        }
    }

    fn header_bytes(&self) -> io::Result<c_int> {
        let mut bytes: c_int = 0;
        // SAFETY: the kernel writes one int, to `bytes`, which lives through the call.
        done(unsafe { libc::ioctl(self.fd.as_raw_fd(), TUNGETVNETHDRSZ, &raw mut bytes) })?;
        Ok(bytes)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        let on: c_int = 1;
        // SAFETY: the kernel reads one int, from `on`, which lives through the call.
        done(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONBIO, &raw const on) })
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Name and flags of the interface behind a descriptor.
fn interface(fd: BorrowedFd<'_>) -> io::Result<(String, c_short)> {
    let mut request = no_request();
    // SAFETY: the kernel writes one ifreq, to `request`, which lives through the call.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), TUNGETIFF, &raw mut request) })?;
    // SAFETY: the kernel set the flags, and any bits are flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let name = request.ifr_name.map(c_char_to_u8);
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok((name.to_string_lossy().into_owned(), flags))
}

fn c_char_to_u8(character: libc::c_char) -> u8 {
    let [byte] = character.to_ne_bytes();
    byte
}

fn no_request() -> ifreq {
    // SAFETY: all zeroes is a valid `ifreq`: an empty name and no flags.
    unsafe { std::mem::zeroed() }
}

fn done(returned: c_int) -> io::Result<()> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
