//! The system calls of this program that have no safe wrapper in rustix, nix or tokio.
#![expect(
    unsafe_code,
    reason = "kill(2) of realtime signals, the interface ioctls and tokio's AsyncFd have no safe wrapper"
)]

pub(crate) mod quota;

use std::{fs::File, io, mem, os::fd::AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::io::{Interest, unix::AsyncFd};

/// Highest signal number of Linux on this architecture (signal(7)).
const LAST_SIGNAL: i32 = 64;

/// Sends any signal of Linux to one process.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 0 || !(1..=LAST_SIGNAL).contains(&signal) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: kill(2) takes two numbers and touches no memory of ours.
    let answer = unsafe { libc::kill(pid, signal) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Registers a descriptor with the runtime.
pub(crate) fn watch(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    // SAFETY: (1) a File owns its descriptor and keeps it open until it is dropped, which AsyncFd does after it has deregistered,
    // (2) as_raw_fd of a File always gives the same descriptor.
    let watched = unsafe { AsyncFd::register_with_interest(file, interest) };
    Ok(watched?)
}

/// Brings the loopback interface up (netdevice(7)). The kernel gives it 127.0.0.1 and ::1 by itself.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is plain numbers and arrays, for which all zero bytes are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let name: &[i8; 2] = &[0x6c, 0x6f];
    request
        .ifr_name
        .get_mut(..2)
        .ok_or(io::ErrorKind::InvalidInput)?
        .copy_from_slice(name);
    let flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: (1) the socket is open, (2) SIOCSIFFLAGS reads one ifreq, which lives through the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
