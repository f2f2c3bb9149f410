//! The share server before a hostile guest's kernel: whatever it is sent, it does not panic, gives nothing of what lies beside the shared tree,
//! and leaves nothing there.
//!
//! It has to run as root: the server's thread gets a root of its own in memory, so that a way out would lead nowhere.

#![no_main]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use libfuzzer_sys::fuzz_target;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use share::limits::MESSAGE_BYTES;
use share::session::Session;

const SECRET: &[u8] = b"secret of the host";

/// Where the thread's root is made; nobody else sees the mount.
const ROOT: &str = "/mnt";

/// Most messages of one guest.
const MESSAGES: usize = 32;

/// Operations (enum fuse_opcode of include/uapi/linux/fuse.h), and how many bytes of fields come before their names.
const OPERATIONS: &[(u32, usize)] = &[
    (1, 0), // LOOKUP
    (2, 8), // FORGET
    (3, 16), // GETATTR
    (4, 88), // SETATTR
    (5, 0), // READLINK
    (6, 0), // SYMLINK
    (8, 16), // MKNOD
    (9, 8), // MKDIR
    (10, 0), // UNLINK
    (11, 0), // RMDIR
    (12, 8), // RENAME
    (13, 8), // LINK
    (14, 8), // OPEN
    (15, 40), // READ
    (16, 40), // WRITE
    (17, 0), // STATFS
    (18, 24), // RELEASE
    (20, 16), // FSYNC
    (21, 8), // SETXATTR
    (22, 8), // GETXATTR
    (23, 8), // LISTXATTR
    (24, 0), // REMOVEXATTR
    (25, 24), // FLUSH
    (26, 64), // INIT
    (27, 8), // OPENDIR
    (28, 40), // READDIR
    (29, 24), // RELEASEDIR
    (30, 16), // FSYNCDIR
    (31, 48), // GETLK
    (34, 8), // ACCESS
    (35, 16), // CREATE
    (38, 0), // DESTROY
    (42, 8), // BATCH_FORGET
    (43, 32), // FALLOCATE
    (44, 40), // READDIRPLUS
    (45, 16), // RENAME2
    (46, 24), // LSEEK
    (47, 56), // COPY_FILE_RANGE
    (50, 8), // SYNCFS
];

/// Names that are there, and names that want out.
const NAMES: &[&[u8]] = &[
    b"file",
    b"folder",
    b"link",
    b"deep",
    b"new",
    b".",
    b"..",
    b"../beside/canary",
    b"/beside/canary",
    b"link/canary",
    b"folder/../../beside/new",
    b"",
    b"user.a",
    b"system.posix_acl_access",
];

/// What a guest sends: the messages, and a place to say that they are answered.
type Work = (Vec<Vec<u8>>, Sender<()>);

fuzz_target!(|bytes: &[u8]| {
    static SERVER: OnceLock<Mutex<Sender<Work>>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let (sender, receiver) = channel();
        thread::spawn(move || serve(&receiver));
        Mutex::new(sender)
    });
    let (done, wait) = channel();
    let work = (messages(bytes), done);
    let sent = server.lock().unwrap_or_else(PoisonError::into_inner).send(work);
    sent.expect("the server's thread lives");
    wait.recv().expect("the messages are answered");
});

/// Reads bytes as messages: which operation, of which node, then fields and names.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = vec![init()];
    let mut rest = bytes;
    while let [operation, node, shape, more @ ..] = rest
        && messages.len() < MESSAGES
    {
        let (opcode, fields) = OPERATIONS[usize::from(*operation) % OPERATIONS.len()];
        let (fields, more) = more.split_at(more.len().min(fields));
        let mut body = fields.to_vec();
        // One name, two, or bytes that are none.
        let mut more = more;
        for _ in 0..shape % 3 {
            let [name, after @ ..] = more else { break };
            body.extend(NAMES[usize::from(*name) % NAMES.len()]);
            body.push(0);
            more = after;
        }
        let (raw, after) = more.split_at(more.len().min(usize::from(shape / 3)));
        body.extend(raw);
        rest = after;
        let node = match node {
            0..=15 => u64::from(*node),
            16 => u64::MAX,
            other => u64::from(*other) << 48,
        };
        messages.push(message(opcode, node, &body));
    }
    messages
}

fn init() -> Vec<u8> {
    let fields = [7_u32, 40, 0x1_0000, u32::MAX, u32::MAX];
    let fields: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    message(26, 0, &fields)
}

fn message(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(40 + body.len()).expect("short");
    let mut message = length.to_le_bytes().to_vec();
    message.extend(opcode.to_le_bytes());
    message.extend(9_u64.to_le_bytes());
    message.extend(node.to_le_bytes());
    message.extend([0; 16]);
    message.extend(body);
    message
}

/// Answers one guest after the other, each with a tree of its own.
fn serve(guests: &Receiver<Work>) {
    enter_own_root();
    while let Ok((messages, done)) = guests.recv() {
        make_tree();
        let (ours, server) = pair();
        let session = Session::new("/host/tree").expect("serve the tree");
        let mut room = vec![0; MESSAGE_BYTES];
        for mut message in messages {
            session.answer(&mut message, &mut room, server.as_fd());
            check_replies(&ours);
        }
        drop(session);
        check_beside();
        // Nobody waits any more when the fuzzer ends.
        done.send(()).ok();
    }
}

fn enter_own_root() {
    let own = CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS;
    unshare(own).expect("leave the mounts of the others: run it as root");
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).expect("make mounts private");
    mount("root", ROOT, "tmpfs", MountFlags::empty(), c"size=64m").expect("mount a tmpfs");
    let proc = Path::new(ROOT).join("proc");
    fs::create_dir(&proc).expect("make /proc");
    mount("proc", &proc, "proc", MountFlags::empty(), None).expect("mount /proc");
    rustix::process::chroot(ROOT).expect("change the root");
    rustix::process::chdir("/").expect("enter the root");
}

fn make_tree() {
    fs::remove_dir_all("/host").ok();
    for folder in ["/host/tree/folder/deep", "/host/beside"] {
        fs::create_dir_all(folder).expect("make a folder");
    }
    fs::write("/host/tree/file", "shared").expect("make a file");
    fs::write("/host/beside/canary", SECRET).expect("make the canary");
    std::os::unix::fs::symlink("../beside", "/host/tree/link").expect("make a link");
}

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    pair.expect("make a pair of sockets")
}

fn check_replies(ours: &OwnedFd) {
    let mut reply = vec![0; MESSAGE_BYTES];
    while let Ok((_, length)) = recv(ours, &mut reply[..], RecvFlags::DONTWAIT) {
        let reply = &reply[..length];
        assert!(length >= 16, "a reply of {length} bytes");
        let leaks = reply.windows(SECRET.len()).any(|bytes| bytes == SECRET);
        assert!(!leaks, "it gives what lies beside the tree");
    }
}

fn check_beside() {
    let names = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
    assert_eq!(names("/host/beside"), 1, "something new beside the tree");
    assert_eq!(names("/host"), 2, "something new beside the tree");
    assert_eq!(names("/"), 2, "something new in the root");
    let canary = fs::read("/host/beside/canary").expect("the canary is there");
    assert_eq!(canary, SECRET, "the canary is another");
}
