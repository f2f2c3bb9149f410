//! Shares that come and go while the server runs.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use share_client::{Access, AddError, MountError};

use crate::{
    fuse::{Body, GETATTR, LOOKUP, MKDIR, OPENDIR, READDIR, u32_at, u64_at},
    stage::Scene,
};

/// A mount of the host that goes with the test.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(path: &'a Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "share-test"])
            .arg(path)
            .status();
        assert!(mounted.unwrap().success());
        Self(path)
    }

    /// As a host's root is: what is mounted in it reaches its copies.
    fn shared(self) -> Self {
        let made = Command::new("mount")
            .arg("--make-shared")
            .arg(self.0)
            .status();
        assert!(made.unwrap().success());
        self
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[test]
fn shares_come_and_go_while_the_server_runs() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let before = scene.mounts();
    for name in ["a", "b"] {
        fs::create_dir(scene.path(name)).unwrap();
        fs::write(scene.path(name).join("name"), name).unwrap();
    }
    let a = scene
        .server
        .add(&scene.path("a"), Access::Writable)
        .unwrap();
    let b = scene
        .server
        .add(&scene.path("b"), Access::Writable)
        .unwrap();
    assert_eq!((a.as_str(), b.as_str()), ("folder-0", "folder-1"));
    assert_eq!(scene.mounts(), before + 2);
    let content = |scene: &Scene, share: &str| {
        let root = scene.guest.lookup(1, share).unwrap();
        let file = scene.guest.lookup(root, "name")?;
        scene.guest.content(file)
    };
    assert_eq!(content(&scene, &a).unwrap(), b"a");
    assert_eq!(content(&scene, &b).unwrap(), b"b");
    scene.server.remove(&a).unwrap();
    scene.server.remove(&a).unwrap();
    scene.server.remove("folder-77").unwrap();
    assert_eq!(scene.mounts(), before + 1);
    assert_eq!(content(&scene, &a), Err(libc::ENOENT));
    assert_eq!(content(&scene, &b).unwrap(), b"b");
    // The name is free again.
    let again = scene
        .server
        .add(&scene.path("b"), Access::Writable)
        .unwrap();
    assert_eq!(again, a);
    assert_eq!(content(&scene, &again).unwrap(), b"b");
}

#[test]
fn read_only_share_refuses_on_the_host_side() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let below = scene.path("below");
    let _below = Tmpfs::mount(&below);
    fs::write(below.join("file"), "x").unwrap();
    fs::write(scene.path("file"), "x").unwrap();
    // The same folder in three ways at the same time, each with its own right.
    for (access, top, inside) in [
        (Access::Writable, true, true),
        (Access::ReadOnly, false, true),
        (Access::RecursiveReadOnly, false, false),
    ] {
        let root = scene.share(access);
        let guest = &scene.guest;
        let below = guest.lookup(root, "below").unwrap();
        for (folder, writable) in [(root, top), (below, inside)] {
            let file = guest.lookup(folder, "file").unwrap();
            assert_eq!(guest.content(file).unwrap(), b"x");
            let opened = guest.open(file, libc::O_RDWR);
            assert_eq!(opened.is_ok(), writable, "{access:?}: {opened:?}");
            let name = format!("{access:?}");
            let made = guest.ask(MKDIR, folder, &Body::new().u32(0o755).u32(0).name(&name));
            assert_eq!(made.err(), (!writable).then_some(libc::EROFS), "{access:?}");
        }
    }
}

#[test]
fn mount_of_the_host_appears_later_and_goes_again() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let host = scene.path("host");
    let _host = Tmpfs::mount(&host).shared();
    let name = scene.server.add(&host, Access::Writable).unwrap();
    let root = scene.guest.lookup(1, &name).unwrap();
    let later = host.join("later");
    let mounted = Tmpfs::mount(&later);
    fs::write(later.join("file"), "later").unwrap();
    let content = || {
        let later = scene.guest.lookup(root, "later").unwrap();
        let file = scene.guest.lookup(later, "file")?;
        scene.guest.content(file)
    };
    assert_eq!(content().unwrap(), b"later");
    drop(mounted);
    assert_eq!(content(), Err(libc::ENOENT));
}

#[test]
fn single_file_is_shared_without_its_neighbours() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    fs::write(scene.path("file"), "alone").unwrap();
    fs::write(scene.path("neighbour"), "secret").unwrap();
    let name = scene
        .server
        .add(&scene.path("file"), Access::Writable)
        .unwrap();
    assert_eq!(name, "file-0");
    let file = scene.guest.lookup(1, &name).unwrap();
    assert_eq!(scene.guest.content(file).unwrap(), b"alone");
    let handle = scene.guest.open(file, libc::O_RDWR).unwrap();
    scene.guest.write(file, handle, 0, b"A").unwrap();
    assert_eq!(fs::read(scene.path("file")).unwrap(), b"Alone");
    assert_eq!(scene.guest.lookup(file, ".."), Err(libc::ENOTDIR));
}

#[test]
fn path_with_links_is_resolved_as_the_host_does_and_once() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    for name in ["one", "two"] {
        fs::create_dir(scene.path(name)).unwrap();
        fs::write(scene.path(name).join("name"), name).unwrap();
    }
    symlink(scene.path("one"), scene.path("link")).unwrap();
    let name = scene
        .server
        .add(&scene.path("link"), Access::Writable)
        .unwrap();
    fs::remove_file(scene.path("link")).unwrap();
    symlink(scene.path("two"), scene.path("link")).unwrap();
    let root = scene.guest.lookup(1, &name).unwrap();
    let file = scene.guest.lookup(root, "name").unwrap();
    assert_eq!(scene.guest.content(file).unwrap(), b"one");
}

#[test]
fn what_can_not_be_shared_is_said_and_leaves_nothing() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let before = (scene.mounts(), scene.server.record());
    let missing = scene.path("missing");
    let error = scene.server.add(&missing, Access::Writable).unwrap_err();
    let AddError::Mount { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        source.to_string(),
        format!("find {} on the host", missing.display())
    );
    let socket = scene.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let pipe = scene.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (path, what) in [
        (socket.as_path(), "a socket"),
        (&pipe, "a pipe"),
        (Path::new("/dev/null"), "a character device"),
    ] {
        let error = scene.server.add(path, Access::Writable).unwrap_err();
        match error {
            AddError::Mount {
                source: MountError::Kind { kind, .. },
                ..
            } => assert_eq!(kind, what),
            other => panic!("{other}"),
        }
    }
    assert_eq!((scene.mounts(), scene.server.record()), before);
}

/// The number that a guest has of a file, as lookup and getattr say it, and as its folder lists it.
fn numbers(scene: &Scene, folder: u64, name: &str) -> [u64; 3] {
    let guest = &scene.guest;
    // struct fuse_entry_out: the file's attributes are behind 40 bytes, and the number is first of them.
    let entry = guest.ask(LOOKUP, folder, &Body::new().name(name)).unwrap();
    let file = u64_at(&entry, 0);
    let about = guest.ask(GETATTR, file, &Body::new().u64(0).u64(0));
    let handle = guest.ask(OPENDIR, folder, &Body::new().u64(0)).unwrap();
    let list = Body::new().u64(u64_at(&handle, 0)).u64(0).u32(4096);
    let list = list.u32(0).u64(0).u64(0);
    let listed = guest.ask(READDIR, folder, &list).unwrap();
    // struct fuse_dirent: number, offset, length of the name, kind, name; padded to 8 bytes.
    let mut rest = &listed[..];
    let listed = loop {
        let length = u32_at(rest, 16) as usize;
        if &rest[24..24 + length] == name.as_bytes() {
            break u64_at(rest, 0);
        }
        rest = &rest[(24 + length).next_multiple_of(8)..];
    };
    [u64_at(&entry, 40), u64_at(&about.unwrap(), 16), listed]
}

#[test]
fn files_of_two_file_systems_have_two_numbers() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let (one, two) = (scene.path("one"), scene.path("two"));
    let _mounted = [Tmpfs::mount(&one), Tmpfs::mount(&two)];
    for folder in [&one, &two] {
        fs::write(folder.join("file"), "x").unwrap();
    }
    let host = |folder: &Path| fs::metadata(folder.join("file")).unwrap().ino();
    assert_eq!(host(&one), host(&two), "two new tmpfs count alike");
    let root = scene.share(Access::Writable);
    let one = scene.guest.lookup(root, "one").unwrap();
    let two = scene.guest.lookup(root, "two").unwrap();
    let of_one = numbers(&scene, one, "file");
    let of_two = numbers(&scene, two, "file");
    assert_ne!(of_one[0], of_two[0]);
    for numbers in [of_one, of_two] {
        assert_eq!(numbers, [numbers[0]; 3]);
    }
    // Another share of one of them is of the same device.
    let name = scene
        .server
        .add(&scene.path("two"), Access::ReadOnly)
        .unwrap();
    let again = scene.guest.lookup(1, &name).unwrap();
    assert_eq!(numbers(&scene, again, "file"), of_two);
}
