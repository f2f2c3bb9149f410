//! One guest's view of the tree: from a message of FUSE to its answer. Main type: [`Session`]. Above: `serve`. Below: fuse-backend-rs,
//! whose passthrough file system holds a descriptor for each file that the guest knows.
//!
//! It answers INIT itself: the sizes of messages are the monitor's, and what is agreed on is a choice of ours. What the host and other
//! pods may change is never believed for longer than one operation: names and attributes have no lifetime, data is looked at again
//! when a file is opened, and when its time has changed.

mod amend;
mod files;
mod init;
mod numbers;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    os::fd::{AsRawFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use fuse_backend_rs::{
    api::{filesystem::FileSystem, server::Server},
    passthrough::{CachePolicy, Config, PassthroughFs},
    transport::{FsCacheReqHandler, FuseBuf, FuseDevWriter, Reader, Writer},
};
use rustix::{
    fs::Mode,
    net::SendFlags,
    process,
    thread::{self, CapabilitySet, CapabilitySets},
};
use thiserror::Error;

use self::{amend::Terms, files::Files};

/// Operations of FUSE that are told apart here (enum fuse_opcode of include/uapi/linux/fuse.h).
const FORGET: u32 = 2;
const INIT: u32 = 26;
const BATCH_FORGET: u32 = 42;

/// The tree can't be served.
#[derive(Debug, Error)]
#[error("open the tree of shares")]
pub struct SessionError(#[source] io::Error);

/// Answers messages, on any number of threads.
pub struct Session {
    files: Arc<PassthroughFs>,
    server: Server<Files>,
}

impl Session {
    /// Of the tree at a path.
    pub fn new(tree: &str) -> Result<Self, SessionError> {
        let config = Config {
            root_dir: tree.to_owned(),
            entry_timeout: Duration::ZERO,
            attr_timeout: Duration::ZERO,
            cache_policy: CachePolicy::Auto,
            xattr: true,
            killpriv_v2: true,
            ..Config::default()
        };
        let files = PassthroughFs::new(config).map_err(SessionError)?;
        files.import().map_err(SessionError)?;
        let files = Arc::new(files);
        let server = Server::new(Files::new(Arc::clone(&files)));
        Ok(Self { files, server })
    }

    /// Answers one message. A socket that does not take the answer has ended, which is found when it is read from. The thread has a
    /// umask of its own.
    pub fn answer(&self, request: &mut [u8], reply: &mut [u8], socket: BorrowedFd<'_>) {
        // The monitor sends whole headers only.
        let (Some(opcode), Some(unique)) = (number(request, 4), unique(request)) else {
            return;
        };
        if opcode == INIT {
            let answer = init::answer(request, |offered| self.files.init(offered));
            return send(socket, unique, answer);
        }
        let terms = amend::amend(request, opcode);
        let Err(error) = under(&terms, || self.hand_on(request, reply, socket)) else {
            return;
        };
        // It was not understood, and most of these are not answered then. The monitor's device takes no second answer.
        if opcode != FORGET && opcode != BATCH_FORGET {
            send(socket, unique, Err(error));
        }
    }

    fn hand_on(
        &self,
        request: &mut [u8],
        reply: &mut [u8],
        socket: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let reader = Reader::<()>::from_fuse_buffer(FuseBuf::new(request));
        let reader = reader.map_err(io::Error::other)?;
        let writer = FuseDevWriter::<()>::new(socket.as_raw_fd(), reply);
        let writer = Writer::from(writer.map_err(io::Error::other)?);
        let nothing_mapped = None::<&mut dyn FsCacheReqHandler>;
        let handled = self
            .server
            .handle_message(reader, writer, nothing_mapped, None);
        handled
            .map(drop)
            .map_err(|_malformed| io::ErrorKind::InvalidInput.into())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is below has no words for itself.
        formatter.write_str("Session")
    }
}

/// Does it with the umask, and without the right to leave set-user-ID and set-group-ID bits, if these are the terms.
fn under(terms: &Terms, deed: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let kept = match terms.clears_set_ids {
        true => Some(put_aside(CapabilitySet::FSETID)?),
        false => None,
    };
    let umask = process::umask(Mode::from_raw_mode(terms.umask));
    let done = deed();
    process::umask(umask);
    if let Some(kept) = kept {
        // They are the thread's own, and permitted.
        thread::set_capabilities(None, kept)?;
    }
    done
}

/// Puts a capability of the thread's aside; those that it had.
fn put_aside(capability: CapabilitySet) -> io::Result<CapabilitySets> {
    let all = thread::capabilities(None)?;
    let fewer = CapabilitySets {
        effective: all.effective.difference(capability),
        ..all
    };
    thread::set_capabilities(None, fewer)?;
    Ok(all)
}

/// Sends a body, or an error, behind the header of a reply.
fn send(socket: BorrowedFd<'_>, unique: u64, answer: io::Result<Vec<u8>>) {
    let (error, body) = match answer {
        Ok(body) => (0, body),
        Err(error) => (-error.raw_os_error().unwrap_or(libc::EINVAL), Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).unwrap_or_default();
    let mut packet = length.to_le_bytes().to_vec();
    packet.extend(error.to_le_bytes());
    packet.extend(unique.to_le_bytes());
    packet.extend(body);
    // Nobody to tell: see above.
    rustix::net::send(socket, &packet, SendFlags::NOSIGNAL).ok();
}

/// A field of 32 bits of a message.
fn number(message: &[u8], at: usize) -> Option<u32> {
    let bytes = message.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn unique(message: &[u8]) -> Option<u64> {
    let bytes = message.get(8..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}
