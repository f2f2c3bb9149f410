//! Links: symbolic and hard ones, those of /proc, and device nodes.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, linkat, makedev, mknodat, open};

use super::{CANARY, Escape, Tried};

/// Links that lead out where the node follows them.
pub(super) fn symbolic(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let link = escape.share.join("link");
    let server = [
        "/proc/self/root",
        "/proc/1/root",
        "/proc/self/cwd",
        "/shares",
        "/",
    ];
    let server = server.map(|root| root.to_owned() + &escape.outside.to_string_lossy());
    let targets = escape.ways_up().into_iter().chain(server.map(Into::into));
    for target in targets {
        symlink(&target, &link).context("make a symbolic link")?;
        tried.folder(&link);
        fs::remove_file(&link)?;
        symlink(target.join(CANARY), &link)?;
        tried.path(&link);
        // Written to, truncated and made executable for everybody, if it is followed.
        drop(
            fs::OpenOptions::new()
                .append(true)
                .truncate(false)
                .open(&link),
        );
        drop(fs::write(&link, "written from inside"));
        fs::remove_file(&link)?;
    }
    Ok(tried)
}

/// Hard links from and to what is not in the share. None may be made, whatever they would be of.
pub(super) fn hard(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let own = escape.share.join("own");
    fs::write(&own, "own")?;
    let name = escape.share.join("hard");
    for up in escape.ways_up() {
        let canary = escape.share.join(up).join(CANARY);
        drop(fs::hard_link(&canary, &name));
        tried.path(&name);
        drop(fs::remove_file(&name));
        drop(fs::hard_link(&own, canary.with_file_name("linked")));
    }
    // Another mount, though the same server has it.
    tried.times += 1;
    if fs::hard_link(&own, escape.other.join("linked")).is_ok() {
        tried.out.push("link to the other share".to_owned());
    }
    tried.times += 1;
    if fs::hard_link("/etc/passwd", &name).is_ok() {
        tried.out.push("link /etc/passwd".to_owned());
    }
    Ok(tried)
}

/// Folders that are open, and what /proc has of them.
pub(super) fn descriptors(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let share = open(&escape.share, flags, Mode::empty())?;
    for up in escape.ways_up() {
        let by_number = format!("/proc/self/fd/{}", share.as_raw_fd());
        tried.folder(&std::path::Path::new(&by_number).join(&up));
    }
    // A link that names a descriptor names the container's, not the server's.
    for number in 0..64 {
        let link = escape.share.join("descriptor");
        symlink(format!("/proc/self/fd/{number}/{CANARY}"), &link)?;
        tried.path(&link);
        fs::remove_file(&link)?;
    }
    // A file of a name is linked into the share by its descriptor.
    let passwd = open("/etc/passwd", flags, Mode::empty())?;
    let by_number = format!("/proc/self/fd/{}", passwd.as_raw_fd());
    tried.times += 1;
    let follow = AtFlags::SYMLINK_FOLLOW;
    if linkat(CWD, &*by_number, &share, "passwd", follow).is_ok() {
        tried.out.push("link a descriptor".to_owned());
    }
    Ok(tried)
}

/// Nodes of every disk that there may be, made here or found in the share, where the node has put some.
pub(super) fn devices(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let mode = Mode::from_raw_mode(0o666);
    // mem; loop, scsi, virtio and extended block devices (Documentation/admin-guide/devices.txt).
    for (kind, major, minor) in [
        (FileType::CharacterDevice, 1, 1),
        (FileType::BlockDevice, 7, 0),
        (FileType::BlockDevice, 8, 0),
        (FileType::BlockDevice, 254, 0),
        (FileType::BlockDevice, 259, 0),
    ] {
        for folder in [escape.share.as_path(), "/tmp".as_ref()] {
            tried.times += 1;
            let node = folder.join("node");
            mknodat(CWD, &node, kind, mode, makedev(major, minor)).ok();
            if fs::File::open(&node).is_ok() {
                tried.out.push(format!("open {kind:?} {major}:{minor}"));
            }
            drop(fs::remove_file(&node));
        }
    }
    for entry in fs::read_dir(escape.share.join("devices"))? {
        tried.times += 1;
        let path = entry?.path();
        if fs::File::open(&path).is_ok() {
            tried.out.push(format!("open {}", path.display()));
        }
    }
    Ok(tried)
}
