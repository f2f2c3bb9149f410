//! Real namespaces, as root.

use std::{collections::BTreeSet, os::unix::fs::MetadataExt};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// A folder of namespaces that unmounts itself.
struct Folder {
    root: tempfile::TempDir,
    namespaces: Namespaces,
}

impl Folder {
    /// None where this host doesn't let us, which is said.
    fn new(test: &str) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        match Namespaces::open(root.path(), LIMIT) {
            Ok(namespaces) => Some(Self { root, namespaces }),
            Err(error) => {
                let root = rustix::process::geteuid().is_root();
                assert!(!root, "{}", model::chain(&error));
                eprintln!("SKIPPED {test}: this user is not root");
                None
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for pod in self.namespaces.list().unwrap() {
            self.namespaces.remove(&pod).unwrap();
        }
        unmount(self.root.path().join("netns"), UnmountFlags::DETACH).unwrap();
    }
}

fn own_namespace() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").unwrap().ino()
}

fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

#[tokio::test]
async fn namespace_is_made_entered_and_removed() {
    let Some(folder) = Folder::new("namespace_is_made_entered_and_removed") else {
        return;
    };
    let namespaces = &folder.namespaces;
    let (outside, one) = (own_namespace(), pod("one"));
    namespaces.create(&one).await.unwrap();
    let inside = namespaces.inside(&one, |_handle| async {
        let accepts = fs::read_to_string("/proc/sys/net/ipv6/conf/default/accept_ra");
        (own_namespace(), accepts.ok())
    });
    let (inside, accepts) = inside.await.unwrap();
    assert_ne!(inside, outside);
    assert_eq!(
        own_namespace(),
        outside,
        "this thread has stayed where it was"
    );
    assert!(accepts.is_none_or(|value| value.trim() == "0"));
    assert_eq!(fs::metadata(namespaces.path(&one)).unwrap().ino(), inside);
    namespaces.create(&one).await.unwrap_err();
    assert!(
        namespaces.is_there(&one),
        "a second creation takes nothing away"
    );

    namespaces.remove(&one).unwrap();
    namespaces.remove(&one).unwrap();
    assert!(!namespaces.path(&one).exists());
    assert_eq!(namespaces.for_plugin(&one), "");
    let gone = namespaces
        .inside(&one, |_handle| async {})
        .await
        .unwrap_err();
    assert!(
        gone.to_string().contains("open the network namespace"),
        "{gone}"
    );
}

#[tokio::test]
async fn loopback_is_up() {
    let Some(folder) = Folder::new("loopback_is_up") else {
        return;
    };
    folder.namespaces.create(&pod("one")).await.unwrap();
    let one = pod("one");
    let bound = folder.namespaces.inside(&one, |_handle| async {
        let server = std::net::TcpListener::bind("127.0.0.1:0")?;
        std::net::TcpStream::connect(server.local_addr()?).map(|_| ())
    });
    bound.await.unwrap().unwrap();
}

#[tokio::test]
async fn later_process_finds_what_an_earlier_one_made() {
    let Some(folder) = Folder::new("later_process_finds_what_an_earlier_one_made") else {
        return;
    };
    for name in ["two", "one"] {
        folder.namespaces.create(&pod(name)).await.unwrap();
    }
    // What a reboot leaves, or a crash before the mount.
    fs::write(folder.namespaces.path(&pod("stale")), "").unwrap();
    fs::write(folder.root.path().join("netns/Not_A_Pod"), "").unwrap();
    let later = Namespaces::open(folder.root.path(), LIMIT).unwrap();
    assert_eq!(
        later.list().unwrap(),
        [pod("one"), pod("stale"), pod("two")]
    );
    assert!(later.is_there(&pod("one")));
    assert!(!later.is_there(&pod("stale")));
    assert_eq!(later.for_plugin(&pod("stale")), "");
    let refused = later
        .inside(&pod("stale"), |_handle| async {})
        .await
        .unwrap_err();
    assert!(
        matches!(refused, NamespaceError::NoNamespace { .. }),
        "{refused}"
    );
    later.remove(&pod("stale")).unwrap();
    // Opened twice, it is mounted once.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = folder.root.path().join("netns").display().to_string();
    let folders = mounts
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some(&path));
    assert_eq!(folders.count(), 1);
}

#[tokio::test]
async fn work_that_hangs_is_given_up() {
    let Some(mut folder) = Folder::new("work_that_hangs_is_given_up") else {
        return;
    };
    folder.namespaces.create(&pod("one")).await.unwrap();
    folder.namespaces.limit = Duration::from_millis(50);
    let hung = folder
        .namespaces
        .inside(&pod("one"), |_handle| std::future::pending::<()>())
        .await;
    assert!(matches!(hung, Err(NamespaceError::Late { .. })));
}

#[tokio::test]
async fn namespaces_are_apart() {
    let Some(folder) = Folder::new("namespaces_are_apart") else {
        return;
    };
    let mut seen = BTreeSet::from([own_namespace()]);
    for name in ["one", "two"] {
        folder.namespaces.create(&pod(name)).await.unwrap();
        let inside = folder
            .namespaces
            .inside(&pod(name), |_handle| async { own_namespace() })
            .await;
        assert!(seen.insert(inside.unwrap()));
    }
}
