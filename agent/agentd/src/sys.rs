//! The system calls of this program that have no safe wrapper in rustix, nix or tokio.
#![expect(
    unsafe_code,
    reason = "kill(2) of realtime signals, the interface and loop ioctls and tokio's AsyncFd have no safe wrapper"
)]

pub(crate) mod quota;

use std::{
    fs::File,
    io, mem,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::Path,
};

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

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
/// It takes itself apart when its last user closes it.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_NAME_SIZE: usize = 64;

/// `struct loop_info64` (include/uapi/linux/loop.h).
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; LO_NAME_SIZE],
    crypt_name: [u8; LO_NAME_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// The number of a loop device that nobody uses now. `control` is /dev/loop-control.
pub(crate) fn free_loop_device(control: &File) -> io::Result<u32> {
    // SAFETY: (1) the descriptor is open, (2) LOOP_CTL_GET_FREE takes no argument and touches no memory of ours.
    let answer = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(answer).map_err(|_negative| io::Error::last_os_error())
}

/// Makes `file` the content of a loop device, read-only, until the device is closed for the last time. `name` is what tools show of it.
pub(crate) fn configure_loop_device(device: &File, file: &File, name: &Path) -> io::Result<()> {
    // SAFETY: loop_config is plain numbers and arrays, for which all zero bytes are a value.
    let mut config: LoopConfig = unsafe { mem::zeroed() };
    config.fd = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    config.info.flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    // The last byte stays 0.
    let places = config.info.file_name.iter_mut().take(LO_NAME_SIZE - 1);
    for (place, byte) in places.zip(name.as_os_str().as_bytes()) {
        *place = *byte;
    }
    // SAFETY: (1) both descriptors are open, (2) LOOP_CONFIGURE reads one loop_config, which lives through the call; the kernel takes a
    // reference of its own to the file.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
