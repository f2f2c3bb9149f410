//! This kernel as judge: an image's device, mounted, equals the same layers unpacked by GNU tar and
//! stacked by overlayfs, file by file with attributes, `trusted.*` too. The guest's kernel judges the
//! same samples in tests/e2e, without `trusted.*`, which a container may not see.
//!
//! Needs root, a kernel with EROFS, ext4, overlayfs and loop devices, and GNU tar; says so where one
//! is missing. `COFFERDAM_COMPARE_LAYOUTS` may name more images (OCI layout folders, colon between).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test; clippy sees tests only in functions marked as such"
)]

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::image::ImageBuilder;
use harness::listing::{self, Listing};
use harness::samples::{self, Sample};
use harness::unpacked::{self, Mount, Unpacked};
use images::Store;

/// Imports, mounts both ways and compares.
fn check(layout: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let store = Store::open(&at("store")).unwrap();
    let image = store.import(layout, None, &mut |_| {}).unwrap();
    write_device(&store, &image, &at("device"));
    let list = |root: &Path| Listing::of(root).text().unwrap();
    let ours = list(on_host(&store, &image, &at("on-host")).path());
    if knows_flat_devices() {
        let flat = Mount::erofs(&at("device"), &at("flat")).unwrap();
        assert_eq!(list(flat.path()), ours, "on one device, and on several");
    }
    let theirs = Unpacked::layout(layout).unwrap();
    let differences = listing::differences(&ours, &list(theirs.root()));
    for difference in &differences {
        println!("{difference}");
    }
    let name = layout.display();
    assert!(
        differences.is_empty(),
        "{name}: {} differences",
        differences.len()
    );
    let (count, layers) = (ours.lines().count(), theirs.layers());
    println!("{name}: {count} files equal, in {layers} layers");
    assert!(count > 1, "nothing was compared");
}

/// Since Linux 6.4 a device table may be passed by; the guest's kernel, which is newer, is asked in tests/e2e.
fn knows_flat_devices() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>());
    let (major, minor) = (numbers.next(), numbers.next());
    (major.unwrap().unwrap(), minor.unwrap().unwrap()) >= (6, 4)
}

/// Each file of the store as it is, as a container on the host has them.
fn on_host(store: &Store, image: &images::Image, at: &Path) -> Mount {
    let rootfs = store.open_rootfs(image).unwrap();
    rootfs.check_for_host().unwrap();
    let files: Vec<PathBuf> = rootfs.segments.into_iter().map(|part| part.path).collect();
    fsck(&files);
    Mount::erofs_of_files(&files, at).unwrap()
}

/// The segments end to end, holes kept, as the monitor will show them to a guest.
fn write_device(store: &Store, image: &images::Image, path: &Path) {
    let rootfs = store.open_rootfs(image).unwrap();
    let mut device = File::create(path).unwrap();
    let mut offset = 0;
    for segment in &rootfs.segments {
        copy_data(segment, &device, offset);
        offset += segment.length_bytes;
    }
    device.set_len(offset).unwrap();
    device.flush().unwrap();
    assert_eq!(offset, rootfs.size);
}

fn copy_data(segment: &images::Segment, device: &File, offset: u64) {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    while position < segment.length_bytes {
        match rustix::fs::seek(&segment.file, rustix::fs::SeekFrom::Data(position)) {
            Ok(data) => position = data,
            // No data behind: the rest is a hole.
            Err(_end) => return,
        }
        let read = segment.file.read_at(&mut buffer, position).unwrap();
        device
            .write_all_at(&buffer[..read], offset + position)
            .unwrap();
        position += read as u64;
    }
}

/// erofs-utils' checker, where it is installed, reads every inode and, from version 1.6 on, data.
fn fsck(files: &[PathBuf]) {
    let (metadata, parts) = files.split_first().unwrap();
    let devices = parts
        .iter()
        .map(|path| format!("--device={}", path.display()));
    match Command::new("fsck.erofs")
        .args(devices)
        .arg(metadata)
        .output()
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("skipped fsck.erofs: erofs-utils is not installed");
        }
        output => {
            let output = output.unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "fsck.erofs: {text}");
        }
    }
}

fn run(test: impl FnOnce()) {
    match unpacked::missing() {
        Some(what) => println!("SKIPPED: this test needs {what}"),
        None => test(),
    }
}

fn check_sample(sample: Sample) {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join(sample.name);
    let image = sample.upon(ImageBuilder::new("sample:latest"));
    image.build().unwrap().write_layout(&layout).unwrap();
    check(&layout);
}

#[test]
fn every_kind_of_entry_equals_gnu_tar() {
    run(|| check_sample(samples::every_kind()));
}

#[test]
fn stacked_layers_equal_overlayfs() {
    run(|| check_sample(samples::stacked_layers()));
}

#[test]
fn large_directories_equal_gnu_tar() {
    run(|| check_sample(samples::large_directories()));
}

#[test]
fn sparse_and_huge_files_equal_gnu_tar() {
    run(|| check_sample(samples::sparse_and_huge().unwrap()));
}

#[test]
fn named_images_equal_gnu_tar() {
    let layouts = std::env::var_os("COFFERDAM_COMPARE_LAYOUTS").unwrap_or_default();
    let layouts: Vec<PathBuf> = std::env::split_paths(&layouts)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if layouts.is_empty() {
        println!("SKIPPED: COFFERDAM_COMPARE_LAYOUTS names no images");
        return;
    }
    run(|| layouts.iter().for_each(|layout| check(layout)));
}
