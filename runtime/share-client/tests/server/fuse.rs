//! A guest that speaks FUSE over the socket, as the monitor's device sends it. Main type: [`Guest`]. Numbers and forms are those of
//! include/uapi/linux/fuse.h.

use std::{cell::Cell, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{RecvFlags, SendFlags, recv, send},
};

pub(crate) const LOOKUP: u32 = 1;
pub(crate) const GETATTR: u32 = 3;
pub(crate) const SETATTR: u32 = 4;
pub(crate) const READLINK: u32 = 5;
pub(crate) const SYMLINK: u32 = 6;
pub(crate) const MKNOD: u32 = 8;
pub(crate) const MKDIR: u32 = 9;
pub(crate) const UNLINK: u32 = 10;
pub(crate) const RMDIR: u32 = 11;
pub(crate) const LINK: u32 = 13;
pub(crate) const OPEN: u32 = 14;
pub(crate) const READ: u32 = 15;
pub(crate) const WRITE: u32 = 16;
pub(crate) const STATFS: u32 = 17;
pub(crate) const RELEASE: u32 = 18;
pub(crate) const FSYNC: u32 = 20;
pub(crate) const SETXATTR: u32 = 21;
pub(crate) const GETXATTR: u32 = 22;
pub(crate) const LISTXATTR: u32 = 23;
pub(crate) const REMOVEXATTR: u32 = 24;
pub(crate) const FLUSH: u32 = 25;
pub(crate) const INIT: u32 = 26;
pub(crate) const OPENDIR: u32 = 27;
pub(crate) const READDIR: u32 = 28;
pub(crate) const ACCESS: u32 = 34;
pub(crate) const CREATE: u32 = 35;
pub(crate) const DESTROY: u32 = 38;
pub(crate) const FALLOCATE: u32 = 43;
pub(crate) const READDIRPLUS: u32 = 44;
pub(crate) const RENAME2: u32 = 45;
pub(crate) const LSEEK: u32 = 46;

/// The guest, as a user of it.
pub(crate) struct Guest {
    socket: OwnedFd,
    unique: Cell<u64>,
    /// Who asks.
    pub(crate) uid: Cell<u32>,
    pub(crate) gid: Cell<u32>,
}

/// An answer's body, or an error number.
pub(crate) type Answer<T> = Result<T, i32>;

/// Fields of a message in a row.
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Body {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn name(mut self, name: &str) -> Self {
        self.0.extend(name.as_bytes());
        self.0.push(0);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

impl Guest {
    /// With the session begun.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        let guest = Self {
            socket,
            unique: Cell::new(1),
            uid: Cell::new(0),
            gid: Cell::new(0),
        };
        guest.init().unwrap();
        guest
    }

    pub(crate) fn init(&self) -> Answer<Vec<u8>> {
        let body = Body::new().u32(7).u32(45).u32(0x2_0000).u32(u32::MAX);
        self.ask(INIT, 0, &body.u32(0).bytes(&[0; 44]))
    }

    /// One request and its answer.
    pub(crate) fn ask(&self, opcode: u32, node: u64, body: &Body) -> Answer<Vec<u8>> {
        let length = u32::try_from(40 + body.0.len()).unwrap();
        let answer = self.ask_raw(length, opcode, node, &body.0);
        answer.expect("the server is gone")
    }

    /// The same with any length in the header; `None` when the server has ended.
    pub(crate) fn ask_raw(
        &self,
        length: u32,
        opcode: u32,
        node: u64,
        body: &[u8],
    ) -> Option<Answer<Vec<u8>>> {
        let unique = self.unique.replace(self.unique.get() + 1);
        let message = Body::new().u32(length).u32(opcode).u64(unique).u64(node);
        let message = message.u32(self.uid.get()).u32(self.gid.get()).u64(1);
        send(&self.socket, &message.bytes(body).0, SendFlags::NOSIGNAL).ok()?;
        // Some malformed messages are answered twice; the monitor's device lets the second answer go.
        let mut answer = self.receive()?;
        while u64_at(&answer, 8) < unique {
            answer = self.receive()?;
        }
        assert_eq!(u64_at(&answer, 8), unique);
        assert_eq!(usize::try_from(u32_at(&answer, 0)), Ok(answer.len()));
        match u32_at(&answer, 4).cast_signed() {
            0 => Some(Ok(answer[16..].to_vec())),
            error => Some(Err(-error)),
        }
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut poll = [PollFd::new(&self.socket, PollFlags::IN)];
        let soon = Timespec::try_from(Duration::from_secs(60)).unwrap();
        let ready = rustix::event::poll(&mut poll, Some(&soon)).unwrap();
        assert_eq!(ready, 1, "no answer");
        let mut bytes = vec![0; 0x2_0000];
        let (length, _) = recv(&self.socket, &mut bytes[..], RecvFlags::empty()).ok()?;
        bytes.truncate(length);
        (length > 0).then_some(bytes)
    }

    pub(crate) fn lookup(&self, parent: u64, name: &str) -> Answer<u64> {
        let entry = self.ask(LOOKUP, parent, &Body::new().name(name))?;
        Ok(u64_at(&entry, 0))
    }

    /// Mode of a file.
    pub(crate) fn mode(&self, node: u64) -> Answer<u32> {
        let attributes = self.ask(GETATTR, node, &Body::new().u64(0).u64(0))?;
        Ok(u32_at(&attributes, 16 + 60))
    }

    /// The handle of an open file.
    pub(crate) fn open(&self, node: u64, flags: i32) -> Answer<u64> {
        let body = Body::new().u32(flags.cast_unsigned()).u32(0);
        Ok(u64_at(&self.ask(OPEN, node, &body)?, 0))
    }

    pub(crate) fn read(&self, node: u64, handle: u64, offset: u64, size: u32) -> Answer<Vec<u8>> {
        let body = Body::new().u64(handle).u64(offset).u32(size).u32(0).u64(0);
        self.ask(READ, node, &body.u32(0).u32(0))
    }

    pub(crate) fn write(&self, node: u64, handle: u64, offset: u64, data: &[u8]) -> Answer<u32> {
        let size = u32::try_from(data.len()).unwrap();
        let body = Body::new().u64(handle).u64(offset).u32(size).u32(0).u64(0);
        let body = body.u32(0).u32(0).bytes(data);
        Ok(u32_at(&self.ask(WRITE, node, &body)?, 0))
    }

    /// Makes a file; its number and its handle.
    pub(crate) fn create(&self, parent: u64, name: &str, mode: u32) -> Answer<(u64, u64)> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let body = Body::new().u32(flags.cast_unsigned()).u32(0o100_000 | mode);
        let body = body.u32(0o022).u32(0).name(name);
        let created = self.ask(CREATE, parent, &body)?;
        Ok((u64_at(&created, 0), u64_at(&created, 128)))
    }

    pub(crate) fn content(&self, node: u64) -> Answer<Vec<u8>> {
        let handle = self.open(node, libc::O_RDONLY)?;
        let content = self.read(node, handle, 0, 0x1_0000)?;
        let release = Body::new().u64(handle).u32(0).u32(0).u64(0);
        self.ask(RELEASE, node, &release)?;
        Ok(content)
    }

    pub(crate) fn unlink(&self, parent: u64, name: &str) -> Answer<Vec<u8>> {
        self.ask(UNLINK, parent, &Body::new().name(name))
    }

    pub(crate) fn rename(&self, parent: u64, from: &str, to: &str) -> Answer<Vec<u8>> {
        let body = Body::new().u64(parent).u32(0).u32(0).name(from).name(to);
        self.ask(RENAME2, parent, &body)
    }

    /// The names in a folder.
    pub(crate) fn list(&self, node: u64, opcode: u32, entry: usize) -> Answer<Vec<String>> {
        let handle = u64_at(&self.ask(OPENDIR, node, &Body::new().u64(0))?, 0);
        let body = Body::new().u64(handle).u64(0).u32(4096).u32(0).u64(0);
        let listed = self.ask(opcode, node, &body.u64(0))?;
        let (mut names, mut at) = (Vec::new(), 0);
        while at < listed.len() {
            let length = usize::try_from(u32_at(&listed, at + entry + 16)).unwrap();
            let start = at + entry + 24;
            let name = &listed[start..start + length];
            names.push(String::from_utf8(name.to_vec()).unwrap());
            at += (entry + 24 + length).next_multiple_of(8);
        }
        names.sort();
        Ok(names)
    }
}
