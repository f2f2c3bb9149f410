//! Connects to a socket of the host as a process of a guest would, were it one of the host's. Main function: [`connect`]. Above: `sockets`.
//!
//! The path was resolved when the container was created; from then on a link in it is refused, so that who can write to a folder on the way leads nobody
//! elsewhere. A server that is started anew makes its socket anew, and is found again by the path.

#[cfg(test)]
mod tests;

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use agent_client::Caller;
use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fstat, openat2},
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{getegid, geteuid},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};
use thiserror::Error;
use tokio::{net::UnixStream, sync::oneshot};

/// Why a socket of the host can't be connected to.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The kernel refused.
    #[error("{attempt}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Something else is there by now.
    #[error("it is no socket")]
    NoSocket,
}

/// What a socket carries (unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// Bytes, or nobody listens there now.
    Stream,
    /// Messages without a connection.
    Datagram,
    /// Messages of a connection.
    SeqPacket,
}

/// Permission bits, user and group of the socket there.
pub(super) async fn look(path: PathBuf) -> Result<(u32, u32, u32), SocketError> {
    let work = move || {
        let place = open(&path)?;
        let about = fstat(&place).map_err(failed("look at it"))?;
        Ok((about.st_mode & 0o7777, about.st_uid, about.st_gid))
    };
    let ended = |ended| SocketError::Io {
        attempt: "look at it",
        source: io::Error::other(ended),
    };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

/// What is spoken at the socket there. A server of streams or datagrams does not notice. Blocks for a moment.
///
/// # Errors
/// When there is no socket, or it can't be asked.
pub fn socket_kind(path: &Path) -> Result<SocketKind, SocketError> {
    let place = open(path)?;
    // One of another type is refused before its server hears of it (net/unix/af_unix.c, unix_find_bsd).
    for (kind, socket_type) in [
        (SocketKind::Datagram, SocketType::DGRAM),
        (SocketKind::SeqPacket, SocketType::SEQPACKET),
    ] {
        let socket = socket(socket_type)?;
        match address(&place).and_then(|address| connect_to(&socket, &address)) {
            Err(Errno::PROTOTYPE) => {}
            // Nobody has it open: what there will be can't be told.
            Err(Errno::CONNREFUSED) => return Ok(SocketKind::Stream),
            Ok(()) | Err(Errno::AGAIN) => return Ok(kind),
            Err(errno) => return Err(failed("ask what it is")(errno)),
        }
    }
    Ok(SocketKind::Stream)
}

/// Its server sees the user and the group of `caller`, and our process id.
pub(super) async fn connect(
    path: &Path,
    caller: Caller,
    deadline: Duration,
) -> Result<UnixStream, SocketError> {
    let attempt = "connect to it";
    let io = |source| SocketError::Io { attempt, source };
    let (reply, answer) = oneshot::channel();
    let path = path.to_owned();
    // Ids are a thread's own (credentials(7), "C library/kernel differences"); this one ends with them.
    let thread = thread::Builder::new().name("host-socket".to_owned());
    let work = move || drop(reply.send(connect_as(&path, caller, deadline)));
    thread.spawn(work).map_err(io)?;
    let connected = answer
        .await
        .map_err(|ended| io(io::Error::other(ended)))??;
    let connected = StdUnixStream::from(connected);
    connected.set_nonblocking(true).map_err(io)?;
    UnixStream::from_std(connected).map_err(io)
}

fn connect_as(path: &Path, caller: Caller, deadline: Duration) -> Result<OwnedFd, SocketError> {
    let place = open(path)?;
    become_caller(caller).map_err(failed("take on the ids of the process in the guest"))?;
    let socket = socket(SocketType::STREAM)?;
    // Of a server whose queue is full.
    set_socket_timeout(&socket, Timeout::Send, Some(deadline))
        .and_then(|()| connect_to(&socket, &address(&place)?))
        .and_then(|()| set_socket_timeout(&socket, Timeout::Send, None))
        .map_err(failed("connect to it"))?;
    Ok(socket)
}

/// As far as others see it. The process is not dumpable any more (prctl(2), PR_SET_DUMPABLE), which for one of root's means no core. Whether it may connect the guest's kernel has decided, by the same mode and owner, and with groups that are not told: so
/// the right to is kept.
fn become_caller(caller: Caller) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(caller.uid), Gid::from_raw(caller.gid));
    if (geteuid(), getegid()) == (uid, gid) {
        return Ok(());
    }
    let ours = capabilities(None)?;
    set_thread_groups(&[gid])?;
    set_thread_res_gid(gid, gid, gid)?;
    // The real one stays: with it what is permitted, though no longer in effect (capabilities(7)).
    set_thread_res_uid(None, uid, None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: ours.permitted & CapabilitySet::DAC_OVERRIDE,
            ..ours
        },
    )
}

/// The socket itself, whatever becomes of its name.
fn open(path: &Path) -> Result<OwnedFd, SocketError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
    let place = place.map_err(failed("open it"))?;
    let about = fstat(&place).map_err(failed("look at it"))?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::Socket => Ok(place),
        _ => Err(SocketError::NoSocket),
    }
}

fn socket(kind: SocketType) -> Result<OwnedFd, SocketError> {
    // One that is asked what it is does not wait for its server.
    let flags = match kind {
        SocketType::STREAM => SocketFlags::CLOEXEC,
        _ => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
    };
    socket_with(AddressFamily::UNIX, kind, flags, None).map_err(failed("make a socket"))
}

/// However long its path is.
fn address(place: &OwnedFd) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

fn failed(attempt: &'static str) -> impl Fn(Errno) -> SocketError {
    move |errno| SocketError::Io {
        attempt,
        source: errno.into(),
    }
}
