//! Tells the service manager that the daemon serves: sd_notify(3), the part of it that needs no library. Main function: [`ready`].

use std::{env, ffi::OsStr, io, os::unix::ffi::OsStrExt};

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// Set by a service manager that wants to be told.
const VARIABLE: &str = "NOTIFY_SOCKET";
const MESSAGE: &[u8] = b"READY=1";

/// Says READY to the socket of `NOTIFY_SOCKET`; does nothing where nobody wants to know.
pub(crate) fn ready() -> io::Result<()> {
    match env::var_os(VARIABLE) {
        Some(socket) => send(&socket),
        None => Ok(()),
    }
}

fn send(socket: &OsStr) -> io::Result<()> {
    let address = match socket.as_bytes().split_first() {
        // An abstract name (unix(7)) is written with an @ in place of its NUL.
        Some((b'@', name)) => SocketAddrUnix::new_abstract_name(name)?,
        _ => SocketAddrUnix::new(socket)?,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    rustix::net::sendto(
        &socket,
        MESSAGE,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        &address,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn ready_arrives_at_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str()).unwrap();
        let mut bytes = [0; 32];
        let count = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], MESSAGE);
    }

    #[test]
    fn ready_to_nobody_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        let error = send(path.as_os_str()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
