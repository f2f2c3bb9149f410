//! A guest that wants out of its shares, or the server dead.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use share_client::Access;

use crate::{
    fuse::{
        Body, CREATE, INIT, LINK, LOOKUP, MKDIR, MKNOD, OPENDIR, READ, RENAME2, SYMLINK, UNLINK,
        WRITE,
    },
    stage::Scene,
};

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    let guest = &scene.guest;
    fs::create_dir(scene.path("folder")).unwrap();
    for name in ["../x", "folder/../../x", "/etc/passwd", "a/b"] {
        assert_eq!(guest.lookup(root, name), Err(libc::EINVAL), "{name}");
        let named = |body: Body| body.name(name);
        for (opcode, body) in [
            (MKDIR, named(Body::new().u32(0o755).u32(0))),
            (
                CREATE,
                named(Body::new().u32(0o102).u32(0o644).u32(0).u32(0)),
            ),
            (
                MKNOD,
                named(Body::new().u32(0o100_644).u32(0).u32(0).u32(0)),
            ),
            (SYMLINK, named(Body::new()).name("x")),
            (UNLINK, named(Body::new())),
            (LINK, named(Body::new().u64(root))),
            (
                RENAME2,
                named(Body::new().u64(root).u32(0).u32(0)).name("x"),
            ),
            (
                RENAME2,
                Body::new()
                    .u64(root)
                    .u32(0)
                    .u32(0)
                    .name("folder")
                    .name(name),
            ),
        ] {
            assert_eq!(
                guest.ask(opcode, root, &body),
                Err(libc::EINVAL),
                "{name} {opcode}"
            );
        }
    }
    assert!(scene.path("folder").exists());
}

#[test]
fn parent_of_a_share_is_the_tree_and_the_parent_of_that_itself() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    let guest = &scene.guest;
    assert_eq!(guest.lookup(1, ".."), Ok(1));
    let mut node = root;
    for _ in 0..5 {
        node = guest.lookup(node, "..").unwrap();
    }
    assert_eq!(node, 1);
    assert_eq!(guest.lookup(node, "proc"), Err(libc::ENOENT));
    // The tree itself is closed.
    let mkdir = Body::new().u32(0o755).u32(0).name("more");
    assert_eq!(guest.ask(MKDIR, 1, &mkdir), Err(libc::EROFS));
    let file = guest.lookup(1, "file-5").unwrap();
    assert_eq!(guest.open(file, libc::O_RDWR), Err(libc::EROFS));
}

#[test]
fn link_that_leads_out_is_a_link_and_nothing_more() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    fs::create_dir(scene.path("inside")).unwrap();
    symlink("/", scene.path("absolute")).unwrap();
    symlink("../../../../..", scene.path("relative")).unwrap();
    symlink("inside", scene.path("harmless")).unwrap();
    let guest = &scene.guest;
    for name in ["absolute", "relative", "harmless"] {
        let link = guest.lookup(root, name).unwrap();
        assert_eq!(guest.mode(link).unwrap() & 0o170_000, 0o120_000);
        assert_eq!(guest.lookup(link, "shares"), Err(libc::ENOTDIR), "{name}");
        assert_eq!(guest.open(link, libc::O_RDONLY), Err(libc::EBADF), "{name}");
        assert_eq!(
            guest.open(link, libc::O_RDWR | libc::O_CREAT),
            Err(libc::EBADF)
        );
        let opened = guest.ask(OPENDIR, link, &Body::new().u64(0));
        assert_eq!(opened, Err(libc::EBADF), "{name}");
    }
}

#[test]
fn device_nodes_are_neither_made_nor_opened() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    let guest = &scene.guest;
    let zero = Body::new()
        .u32(0o020_666)
        .u32(0x105)
        .u32(0)
        .u32(0)
        .name("zero");
    assert_eq!(guest.ask(MKNOD, root, &zero), Err(libc::EPERM));
    // One that the host has made.
    let node = scene.path("null");
    let made = std::process::Command::new("mknod")
        .arg(&node)
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    let null = guest.lookup(root, "null").unwrap();
    assert_eq!(guest.mode(null).unwrap() & 0o170_000, 0o020_000);
    assert_eq!(guest.open(null, libc::O_RDWR), Err(libc::EBADF));
    assert_eq!(fs::metadata(&node).unwrap().rdev(), 0x103);
}

#[test]
fn malformed_messages_are_answered_and_the_server_serves_on() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let root = scene.share(Access::Writable);
    let guest = &scene.guest;
    let alive = || guest.lookup(1, "folder-0").is_ok();
    for opcode in (0..64).chain([2000, u32::MAX]) {
        // Without a reply, or with a session's end as its effect.
        if [2, 36, 38, 41, 42].contains(&opcode) {
            continue;
        }
        for (length, body) in [
            (40, &[][..]),
            (48, &[0xff; 8]),
            (41, &[0]),
            (u32::MAX, &[0xff; 200]),
        ] {
            let answer = guest.ask_raw(length, opcode, root, body);
            assert!(answer.is_some(), "{opcode}: the server is gone");
        }
        assert!(alive(), "{opcode}");
    }
    for node in [0, 2_000_000, u64::MAX] {
        assert!(guest.ask(LOOKUP, node, &Body::new().name("x")).is_err());
        assert!(guest.read(node, u64::MAX, 0, 16).is_err());
    }
    assert!(
        guest
            .ask(LOOKUP, root, &Body::new().bytes(b"no end"))
            .is_err()
    );
    assert!(
        guest
            .ask(LOOKUP, root, &Body::new().name(&"x".repeat(300)))
            .is_err()
    );
    assert!(guest.ask(INIT, 0, &Body::new().u32(7)).is_err());
    // A write that claims more data than came, a read of a handle that was never opened.
    let (file, handle) = guest.create(root, "file", 0o644).unwrap();
    let lies = Body::new()
        .u64(handle)
        .u64(0)
        .u32(1 << 19)
        .u32(0)
        .u64(0)
        .u64(0);
    assert!(
        guest
            .ask(WRITE, file, &lies.bytes(b"little"))
            .map_or(true, |wrote| wrote.len() == 8)
    );
    let other = Body::new()
        .u64(handle + 1)
        .u64(0)
        .u32(16)
        .u32(0)
        .u64(0)
        .u64(0);
    assert_eq!(guest.ask(READ, file, &other), Err(libc::EBADF));
    assert!(alive());
}
