//! A disk that is full. Needs root and mount(2); says so where one is missing.

use std::path::{Path, PathBuf};

use images::Store;
use registry::{Kind, Puller};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::archive::plain;
use crate::bench::{Bench, Content, NAME, hosts, patience, pull, refused};
use crate::server::Server;
use harness::tar_items::{file, tar};

/// A small file system that goes when it is dropped.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let options = c"size=1m";
        match mount("tmpfs", path, "tmpfs", MountFlags::empty(), options) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(errno) => {
                println!("skipped: a full disk needs mount(2): {errno}");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn full_disk_is_named_and_keeps_nothing() {
    let bench = Bench::new();
    let Some(small) = Small::mount(&bench.path("small")) else {
        return;
    };
    let store = Store::open(&small.0.join("store")).unwrap();
    // Two layers: the first fits.
    let fits = plain(tar(&[file("fits", "x".repeat(100_000))]));
    let noise: Vec<u8> = (0..3_000_000_u32)
        .map(|number| number.to_le_bytes()[0] | 1)
        .collect();
    let content = Content::with(&[fits, plain(tar(&[file("noise", noise)]))]);
    let server = Server::start(move |request| content.reply(request)).await;
    let puller = Puller::new(store.clone(), hosts(&[], &server.url()), patience()).unwrap();
    let before = store.usage().unwrap();
    let expect = "the disk of the image store is full; nothing of the image is kept";
    refused(pull(&puller, NAME).await, Kind::DiskFull, expect);
    crate::bench::until(
        || store.usage().unwrap() == before,
        || format!("{:?} instead of {before:?}", store.usage()),
    )
    .await;
    assert!(store.list().unwrap().is_empty());
}
