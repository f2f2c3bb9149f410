//! What a guest does with files: each operation once, so that the server's filter lets each pass.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
};

use share_client::Access;

use crate::{
    fuse::{
        ACCESS, Body, DESTROY, FALLOCATE, FLUSH, FSYNC, GETXATTR, LINK, LISTXATTR, LSEEK, MKDIR,
        MKNOD, READDIR, READDIRPLUS, READLINK, RELEASE, REMOVEXATTR, RMDIR, SETATTR, SETXATTR,
        STATFS, SYMLINK, u32_at, u64_at,
    },
    stage::Scene,
};

#[test]
fn session_begins_with_sizes_that_fit_the_socket_and_can_begin_again() {
    let Some(scene) = Scene::set() else { return };
    for _ in 0..2 {
        let agreed = scene.guest.init().unwrap();
        assert_eq!((u32_at(&agreed, 0), u32_at(&agreed, 4)), (7, 33));
        assert_eq!(u32_at(&agreed, 20), 0x1_0000);
        assert_eq!(agreed[28], 16);
    }
    scene.guest.ask(DESTROY, 0, &Body::new()).unwrap();
    scene.guest.init().unwrap();
    assert!(scene.guest.lookup(1, "folder-0").is_ok());
}

#[test]
fn files_of_the_host_are_read_and_written() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    fs::write(scene.path("hello"), "from the host").unwrap();
    let guest = &scene.guest;
    let hello = guest.lookup(root, "hello").unwrap();
    assert_eq!(guest.content(hello).unwrap(), b"from the host");
    assert_eq!(guest.lookup(root, "nothing"), Err(libc::ENOENT));

    let (file, handle) = guest.create(root, "new", 0o666).unwrap();
    assert_eq!(guest.write(file, handle, 0, b"from the guest"), Ok(14));
    let release = Body::new().u64(handle).u64(0).u64(0);
    guest.ask(FLUSH, file, &release).unwrap();
    guest
        .ask(FSYNC, file, &Body::new().u64(handle).u64(0))
        .unwrap();
    guest
        .ask(FSYNC, file, &Body::new().u64(handle).u64(1))
        .unwrap();
    guest.ask(RELEASE, file, &release).unwrap();
    assert_eq!(fs::read(scene.path("new")).unwrap(), b"from the guest");
    let mode = fs::metadata(scene.path("new"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o644);

    // As much as one message carries, and a read at the end of the numbers.
    let handle = guest.open(file, libc::O_RDWR).unwrap();
    let much = vec![7; 0x1_0000];
    assert_eq!(guest.write(file, handle, 5, &much), Ok(0x1_0000));
    assert_eq!(guest.read(file, handle, 5, 0x1_0000).unwrap(), much);
    assert!(guest.read(file, handle, u64::MAX, 16).is_err());
    assert_eq!(guest.read(file, handle, 1 << 50, 16).unwrap(), b"");
    assert!(guest.write(file, handle, u64::MAX - 2, b"far").is_err());
    assert!(guest.read(file, handle, 0, u32::MAX).is_err());

    guest.rename(root, "new", "renamed").unwrap();
    assert!(scene.path("renamed").exists() && !scene.path("new").exists());
    guest.unlink(root, "renamed").unwrap();
    assert!(!scene.path("renamed").exists());
}

#[test]
fn file_is_made_as_the_user_of_the_guest_whatever_groups_the_user_has() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    // As kubelet makes a volume for an fsGroup, of which user 1000 is a member in the guest.
    std::os::unix::fs::chown(scene.host.path(), Some(0), Some(2000)).unwrap();
    fs::set_permissions(scene.host.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    scene.guest.uid.set(1000);
    scene.guest.gid.set(1001);
    scene.guest.create(root, "file", 0o640).unwrap();
    let mkdir = Body::new().u32(0o755).u32(0).name("folder");
    scene.guest.ask(MKDIR, root, &mkdir).unwrap();
    for name in ["file", "folder"] {
        let made = fs::metadata(scene.path(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (1000, 2000), "{name}");
    }
    scene.guest.uid.set(0);
    scene.guest.gid.set(0);
    scene.guest.create(root, "roots", 0o640).unwrap();
    assert_eq!(fs::metadata(scene.path("roots")).unwrap().uid(), 0);
}

#[test]
fn folders_links_and_pipes_are_made_and_listed() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    let guest = &scene.guest;
    let mkdir = Body::new().u32(0o750).u32(0).name("folder");
    guest.ask(MKDIR, root, &mkdir).unwrap();
    guest
        .ask(SYMLINK, root, &Body::new().name("link").name("folder/x"))
        .unwrap();
    let pipe = Body::new().u32(0o010_600).u32(0).u32(0).u32(0).name("pipe");
    guest.ask(MKNOD, root, &pipe).unwrap();
    guest.create(root, "file", 0o600).unwrap();
    let file = guest.lookup(root, "file").unwrap();
    guest
        .ask(LINK, root, &Body::new().u64(file).name("hard"))
        .unwrap();

    let expect = ["file", "folder", "hard", "link", "pipe"];
    assert_eq!(guest.list(root, READDIR, 0).unwrap(), expect);
    let plus = guest.list(root, READDIRPLUS, 128).unwrap();
    assert_eq!(plus, expect);
    let link = guest.lookup(root, "link").unwrap();
    assert_eq!(
        guest.ask(READLINK, link, &Body::new()).unwrap(),
        b"folder/x"
    );
    assert!(
        fs::symlink_metadata(scene.path("pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(fs::metadata(scene.path("file")).unwrap().nlink(), 2);
    assert_eq!(
        guest.mode(guest.lookup(root, "folder").unwrap()).unwrap(),
        0o040_750
    );
    guest.ask(RMDIR, root, &Body::new().name("folder")).unwrap();
    assert!(!scene.path("folder").exists());
    guest.ask(ACCESS, root, &Body::new().u32(4).u32(0)).unwrap();
    assert_eq!(guest.ask(STATFS, root, &Body::new()).unwrap().len(), 80);
}

#[test]
fn attributes_and_extended_attributes_are_changed() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    let guest = &scene.guest;
    let (file, handle) = guest.create(root, "file", 0o644).unwrap();
    // struct fuse_setattr_in: mode, owner, group, size and both times.
    let set = |valid: u32| {
        let body = Body::new().u32(valid).u32(0).u64(handle).u64(4096).u64(0);
        let body = body
            .u64(1_000_000)
            .u64(2_000_000)
            .u64(0)
            .u32(5)
            .u32(6)
            .u32(0);
        body.u32(0o100_755).u32(0).u32(1234).u32(2345).u32(0)
    };
    for valid in [
        0x1,
        0x2 | 0x4,
        0x8,
        0x10 | 0x20,
        0x8 | 0x40,
        0x1 | 0x40,
        0x30 | 0x40,
    ] {
        guest.ask(SETATTR, file, &set(valid)).unwrap();
    }
    let changed = fs::metadata(scene.path("file")).unwrap();
    assert_eq!(
        (changed.uid(), changed.gid(), changed.len()),
        (1234, 2345, 4096)
    );
    assert_eq!((changed.mtime(), changed.mtime_nsec()), (2_000_000, 6));
    assert_eq!(changed.permissions().mode() & 0o7777, 0o755);

    let allocate = Body::new().u64(handle).u64(0).u64(0x1_0000).u32(0).u32(0);
    guest.ask(FALLOCATE, file, &allocate).unwrap();
    assert_eq!(fs::metadata(scene.path("file")).unwrap().len(), 0x1_0000);
    let hole = Body::new().u64(handle).u64(0).u32(4).u32(0);
    guest.ask(LSEEK, file, &hole).unwrap();

    let value = Body::new()
        .u32(5)
        .u32(0)
        .name("user.colour")
        .bytes(b"green");
    match guest.ask(SETXATTR, file, &value) {
        // Not every file system has them.
        Err(libc::ENOTSUP) => return eprintln!("SKIPPED: no extended attributes here"),
        answer => answer.unwrap(),
    };
    let get = Body::new().u32(100).u32(0).name("user.colour");
    assert_eq!(guest.ask(GETXATTR, file, &get).unwrap(), b"green");
    let listed = guest
        .ask(LISTXATTR, file, &Body::new().u32(100).u32(0))
        .unwrap();
    assert!(listed.windows(12).any(|name| name == b"user.colour\0"));
    guest
        .ask(REMOVEXATTR, file, &Body::new().name("user.colour"))
        .unwrap();
    assert_eq!(guest.ask(GETXATTR, file, &get), Err(libc::ENODATA));
}

#[test]
fn write_of_another_takes_the_set_user_id_bit_away() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    fs::write(scene.path("program"), "x").unwrap();
    fs::set_permissions(scene.path("program"), fs::Permissions::from_mode(0o4755)).unwrap();
    let guest = &scene.guest;
    let file = guest.lookup(root, "program").unwrap();
    let handle = guest.open(file, libc::O_RDWR).unwrap();
    // FUSE_WRITE_KILL_SUIDGID
    let body = Body::new().u64(handle).u64(0).u32(1).u32(4).u64(0);
    guest
        .ask(crate::fuse::WRITE, file, &body.u32(0).u32(0).bytes(b"y"))
        .unwrap();
    assert_eq!(guest.mode(file).unwrap() & 0o7777, 0o755);
}

#[test]
fn change_on_the_host_is_seen_at_once() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    fs::write(scene.path("file"), "one").unwrap();
    let body = Body::new().name("file");
    let entry = scene.guest.ask(crate::fuse::LOOKUP, root, &body).unwrap();
    // No lifetime: neither of the name nor of the attributes, in seconds and nanoseconds.
    assert_eq!(
        (u64_at(&entry, 16), u64_at(&entry, 24), u64_at(&entry, 32)),
        (0, 0, 0)
    );
    fs::write(scene.path("other"), "two").unwrap();
    fs::rename(scene.path("other"), scene.path("file")).unwrap();
    let file = scene.guest.lookup(root, "file").unwrap();
    assert_eq!(scene.guest.content(file).unwrap(), b"two");
    symlink("/etc/passwd", scene.path("to-passwd")).unwrap();
    assert!(scene.guest.lookup(root, "to-passwd").is_ok());
}
