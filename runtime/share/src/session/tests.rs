//! Messages that no guest's kernel would send, to a real file system with something beside what is served.

use std::{
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::symlink,
    },
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair},
};
use tempfile::TempDir;

use super::*;
use crate::limits::MESSAGE_BYTES;

const SECRET: &str = "secret of the host";

/// Operations (enum fuse_opcode of include/uapi/linux/fuse.h).
const LOOKUP: u32 = 1;
const SYMLINK: u32 = 6;
const MKNOD: u32 = 8;
const MKDIR: u32 = 9;
const UNLINK: u32 = 10;
const RMDIR: u32 = 11;
const RENAME: u32 = 12;
const LINK: u32 = 13;
const OPEN: u32 = 14;
const READ: u32 = 15;
const CREATE: u32 = 35;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const RENAME2: u32 = 45;

const ROOT: u64 = 1;

/// Sessions change the umask of their thread: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// `tree` is served, `beside` is not.
struct Guest {
    session: Session,
    socket: (OwnedFd, OwnedFd),
    folder: TempDir,
}

impl Guest {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["tree/in/deep", "beside"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("tree/file"), "shared").unwrap();
        fs::write(at("beside/canary"), SECRET).unwrap();
        symlink("../beside", at("tree/link")).unwrap();
        symlink("../beside/canary", at("tree/file-link")).unwrap();
        Self::of(folder, "tree")
    }

    fn of(folder: TempDir, tree: &str) -> Self {
        let session = Session::new(folder.path().join(tree).to_str().unwrap()).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let socket = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let guest = Self {
            session,
            socket: socket.unwrap(),
            folder,
        };
        let fields: Vec<u8> = [7_u32, 40, 0, u32::MAX, 0]
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect();
        guest.ask(INIT, 0, &fields).unwrap();
        guest
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends a message, and waits for its answer.
    fn ask(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        let length = u32::try_from(40 + body.len()).unwrap();
        let mut request = Vec::new();
        request.extend(length.to_le_bytes());
        request.extend(opcode.to_le_bytes());
        request.extend(77_u64.to_le_bytes());
        request.extend(node.to_le_bytes());
        // User, group and process 0, and nothing more.
        request.extend([0; 16]);
        request.extend(body);
        let mut room = vec![0; MESSAGE_BYTES];
        let (ours, server) = &self.socket;
        self.session.answer(&mut request, &mut room, server.as_fd());
        let mut reply = vec![0; MESSAGE_BYTES];
        let answer = recv(ours, &mut reply[..], RecvFlags::DONTWAIT);
        let (_, length) = answer.unwrap_or_else(|errno| panic!("no answer to {opcode}: {errno}"));
        reply.truncate(length);
        // What is malformed is answered twice, of which the monitor's device takes one.
        while recv(ours, &mut [0; 64][..], RecvFlags::DONTWAIT).is_ok() {}
        assert_eq!(number(&reply, 8), Some(77));
        match number(&reply, 4) {
            Some(0) => Ok(reply.split_off(16)),
            error => Err(error.unwrap().cast_signed().abs()),
        }
    }

    fn find(&self, node: u64, name: &str) -> Result<u64, i32> {
        let found = self.ask(LOOKUP, node, &named(&[], name))?;
        Ok(u64::from_le_bytes(*found.first_chunk().unwrap()))
    }
}

fn named(fields: &[u32], name: &str) -> Vec<u8> {
    let mut body: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    body.extend(name.as_bytes());
    body.push(0);
    body
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn name_that_is_a_path_names_nothing() {
    let _one = ONE.lock();
    let guest = Guest::new();
    let canary = guest.path("beside/canary");
    let absolute = canary.to_str().unwrap();
    let own = guest.find(ROOT, "file").unwrap();
    let own = u32::try_from(own).unwrap();
    for name in [
        "../beside/canary",
        "../beside/new",
        "./../beside/new",
        "..",
        ".",
        "",
        absolute,
        "in/../../beside/new",
        "link/new",
        "link/canary",
    ] {
        let refused = |opcode: u32, fields: &[u32], more: &str| {
            let mut body = named(fields, name);
            if !more.is_empty() {
                body.extend(named(&[], more));
            }
            let answer = guest.ask(opcode, ROOT, &body);
            assert!(answer.is_err(), "{opcode} {name:?}: {answer:?}");
        };
        refused(UNLINK, &[], "");
        refused(RMDIR, &[], "");
        refused(MKDIR, &[0o777, 0], "");
        refused(MKNOD, &[0o100_777, 0, 0, 0], "");
        refused(CREATE, &[0o102, 0o777, 0, 0], "");
        refused(SYMLINK, &[], "/");
        refused(LINK, &[own, 0], "");
        refused(RENAME, &[1, 0], "in-tree");
        refused(RENAME2, &[1, 0, 0, 0], "in-tree");
        let mut to = named(&[1, 0], "file");
        to.extend(named(&[], name));
        assert!(guest.ask(RENAME, ROOT, &to).is_err(), "to {name:?}");
    }
    assert_eq!(names(&guest.path("beside")), ["canary"]);
    assert_eq!(names(guest.folder.path()), ["beside", "tree"]);
    assert_eq!(
        names(&guest.path("tree")),
        ["file", "file-link", "in", "link"]
    );
    assert_eq!(fs::read_to_string(canary).unwrap(), SECRET);
}

#[test]
fn parent_of_the_tree_is_the_tree() {
    let _one = ONE.lock();
    let guest = Guest::new();
    assert_eq!(guest.find(ROOT, ".."), Ok(ROOT));
    let folder = guest.find(ROOT, "in").unwrap();
    assert_eq!(guest.find(folder, ".."), Ok(ROOT));
    let deep = guest.find(folder, "deep").unwrap();
    assert_eq!(guest.find(deep, ".."), Ok(folder));
    assert_eq!(guest.find(ROOT, "../beside"), Err(libc::EINVAL));
}

#[test]
fn symbolic_link_is_never_followed() {
    let _one = ONE.lock();
    let guest = Guest::new();
    let link = guest.find(ROOT, "link").unwrap();
    assert_eq!(guest.find(link, "canary"), Err(libc::ENOTDIR));
    let link = guest.find(ROOT, "file-link").unwrap();
    for flags in [0, 2, 0o1002] {
        let opened = guest.ask(OPEN, link, &named(&[flags], "\0\0\0"));
        assert!(opened.is_err(), "{opened:?}");
    }
    // Created over, it is neither followed nor replaced.
    let created = guest.ask(CREATE, ROOT, &named(&[0o102, 0o777, 0, 0], "file-link"));
    assert!(created.is_err(), "{created:?}");
    assert_eq!(
        fs::read_to_string(guest.path("beside/canary")).unwrap(),
        SECRET
    );
}

#[test]
fn unknown_nodes_and_handles_are_errors() {
    let _one = ONE.lock();
    let guest = Guest::new();
    let file = guest.find(ROOT, "file").unwrap();
    for node in [0, 2000, u64::MAX] {
        assert!(guest.find(node, "file").is_err());
        assert!(guest.ask(OPEN, node, &[0; 8]).is_err());
    }
    for handle in [0, 5, u64::MAX] {
        let mut read = handle.to_le_bytes().to_vec();
        read.extend([0xff; 32]);
        assert!(guest.ask(READ, file, &read).is_err());
    }
    // Lengths that the message does not have, and operations that there are not.
    for opcode in (0..=60).chain([u32::MAX]) {
        if !matches!(opcode, FORGET | BATCH_FORGET | INIT | INTERRUPT | DESTROY) {
            drop(guest.ask(opcode, ROOT, &[0xff; 7]));
        }
    }
    assert_eq!(guest.find(ROOT, "file"), Ok(file));
}

/// What the host moves out of a share stays in the guest's hands, but what it lies in then does not come with it. In a session of the
/// jail each share is a mount of its own, and there the kernel refuses to climb out of it.
#[test]
fn folder_that_is_moved_out_has_no_parent() {
    let _one = ONE.lock();
    // A mount namespace of this thread's own.
    let visit = || {
        let namespaces = CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS;
        if unshare(namespaces).is_err() {
            eprintln!("SKIPPED folder_that_is_moved_out_has_no_parent: not root");
            return;
        }
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        mount_change("/", private).unwrap();
        let guest = Guest::new();
        let share = guest.path("tree/in");
        fs::create_dir(guest.path("host")).unwrap();
        fs::create_dir_all(guest.path("host/share/moves/deep")).unwrap();
        fs::write(guest.path("host/canary"), SECRET).unwrap();
        mount_bind(guest.path("host/share"), &share).unwrap();
        let folder = guest.find(ROOT, "in").unwrap();
        let moves = guest.find(folder, "moves").unwrap();
        let deep = guest.find(moves, "deep").unwrap();
        fs::rename(guest.path("host/share/moves"), guest.path("host/moved")).unwrap();
        assert_eq!(guest.find(moves, ".."), Err(libc::ENOENT));
        // Up to what was moved is as far as it goes.
        let up = guest.find(deep, "..");
        assert!(up == Ok(moves) || up == Err(libc::ENOENT), "{up:?}");
        rustix::mount::unmount(&share, rustix::mount::UnmountFlags::DETACH).unwrap();
    };
    thread::scope(|scope| scope.spawn(visit).join()).unwrap();
}
