//! The line that a client opens with, and the answer: `CONNECT <port>\n`, `OK <local port>\n`. Main type: [`Greeting`]. Above:
//! `connection`.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Cursor, Write},
    os::fd::BorrowedFd,
};

use rustix::net::{RecvFlags, SendFlags};

use super::limits::GREETING_BYTES;

const WORD: &[u8] = b"CONNECT ";

/// What has come of the line so far.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    line: [u8; GREETING_BYTES],
    length: usize,
}

/// How reading the line went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// There is more to come.
    Part,
    /// The client wants this port of the guest.
    Port(u32),
    /// Not a greeting, or the client is gone.
    Nonsense,
}

impl Greeting {
    /// Reads what has come, and not a byte past the line: what follows is for the guest.
    pub(super) fn hear(&mut self, client: BorrowedFd<'_>) -> Heard {
        loop {
            match self.next_bytes(client) {
                Ok(0) => return Heard::Nonsense,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Part,
                Err(_gone) => return Heard::Nonsense,
            }
            let line = self.line.get(..self.length).unwrap_or_default();
            if let Some(line) = line.strip_suffix(b"\n") {
                return parse(line).map_or(Heard::Nonsense, Heard::Port);
            }
        }
    }

    /// Takes bytes up to the end of the line or of the space for it; zero when there are none or no space is left.
    fn next_bytes(&mut self, client: BorrowedFd<'_>) -> io::Result<usize> {
        let free = self.line.get_mut(self.length..).unwrap_or_default();
        let peek = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        let (seen, _whole) =
            rustix::io::retry_on_intr(|| rustix::net::recv(client, &mut *free, peek))?;
        let seen = free.get_mut(..seen).unwrap_or_default();
        let end = seen.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(seen.len(), |at| at + 1);
        let wanted = seen.get_mut(..count).unwrap_or_default();
        if wanted.is_empty() {
            return Ok(0);
        }
        let (taken, _whole) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(client, &mut *wanted, RecvFlags::DONTWAIT)
        })?;
        self.length += taken;
        Ok(taken)
    }
}

/// Tells a client that it is connected. Its socket has nothing else in it yet, so the line fits or the client is gone.
///
/// # Errors
/// When the client is gone.
pub(super) fn answer(client: BorrowedFd<'_>, local_port: u32) -> io::Result<()> {
    let mut line = Cursor::new([0_u8; GREETING_BYTES]);
    writeln!(line, "OK {local_port}")?;
    let length = usize::try_from(line.position()).map_err(io::Error::other)?;
    let line = line.get_ref().get(..length).unwrap_or_default();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = rustix::io::retry_on_intr(|| rustix::net::send(client, line, flags))?;
    match sent {
        sent if sent == length => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// The port in a line without its end. Digits only: no sign, no blanks.
fn parse(line: &[u8]) -> Option<u32> {
    let digits = line.strip_prefix(WORD)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
