//! The system calls of this crate that have no safe wrapper in rustix or nix, and no library that wraps them as a virtual machine needs
//! them: with a header for offloads, several queues, and the descriptor given up.
#![expect(
    unsafe_code,
    reason = "the ioctls of /dev/net/tun have no safe wrapper"
)]

use std::{fs::File, io, mem, os::fd::AsRawFd};

use libc::c_int;

/// Makes the file a queue of the tap `name`, which comes to be if it isn't there (TUNSETIFF; kernel:
/// Documentation/networking/tuntap.rst). The tap goes with its last file, unless somebody made it persistent.
pub(crate) fn attach_queue(file: &File, name: &str, flags: c_int) -> io::Result<()> {
    // SAFETY: ifreq is plain numbers and arrays, for which all zero bytes are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // One byte stays 0 as the end. The kernel would take a % for a pattern and choose a name itself.
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains(['%', '\0']) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = i16::from_ne_bytes(low_half(flags)?);
    // SAFETY: (1) the file is open, (2) TUNSETIFF reads and writes one ifreq, which lives through the call.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    check(answer)
}

/// How long the header before each packet is, in bytes (TUNSETVNETHDRSZ).
pub(crate) fn set_header_size(file: &File, bytes: c_int) -> io::Result<()> {
    // SAFETY: (1) the file is open, (2) TUNSETVNETHDRSZ reads one int, which lives through the call.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const bytes) };
    check(answer)
}

/// The flags of an ifreq are a short whose top bit may be set.
fn low_half(flags: c_int) -> io::Result<[u8; 2]> {
    let half =
        u16::try_from(flags).map_err(|_too_big| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(half.to_ne_bytes())
}

fn check(answer: c_int) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
