//! The kernel as judge: an image's device, mounted, equals the same layers unpacked by GNU tar and
//! stacked by overlayfs, file by file with attributes.
//!
//! Needs root, a kernel with EROFS, overlayfs and loop devices, and GNU tar; says so where one is
//! missing. `COFFERDAM_COMPARE_LAYOUTS` may name more images (OCI layout folders, colon between).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test; clippy sees tests only in functions marked as such"
)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use images::Store;

#[path = "../src/archive.rs"]
mod archive;
#[path = "kernel_mount/compare.rs"]
mod compare;
#[path = "kernel_mount/mounts.rs"]
mod mounts;
#[path = "kernel_mount/samples.rs"]
mod samples;

use mounts::Mount;

/// What is missing on this machine, if anything.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".to_owned());
    }
    // Debian's kernel has these as modules; a failure shows in the list below.
    for module in ["erofs", "overlay", "loop"] {
        Command::new("modprobe").arg(module).output().ok();
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for name in ["erofs", "overlay"] {
        if !filesystems.split_whitespace().any(|word| word == name) {
            return Some(format!("a kernel with {name}"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("loop devices".to_owned());
    }
    match Command::new("tar").arg("--version").output() {
        Ok(output) if output.stdout.starts_with(b"tar (GNU tar)") => None,
        _ => Some("GNU tar".to_owned()),
    }
}

/// Imports, mounts both ways and compares.
fn check(layout: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let store = Store::open(&at("store")).unwrap();
    let image = store.import(layout, None, &mut |_| {}).unwrap();
    write_device(&store, &image, &at("device"));
    let ours = Mount::erofs(&at("device"), &at("ours"));
    let layers = mounts::unpack_layers(layout, &at("layers"));
    let theirs = Mount::overlay(&layers, &at("theirs"));
    let differences = compare::trees(ours.path(), theirs.path());
    for difference in &differences {
        println!("{difference}");
    }
    let name = layout.display();
    assert!(
        differences.is_empty(),
        "{name}: {} differences",
        differences.len()
    );
    let count = compare::count(ours.path());
    println!("{name}: {count} files equal, in {} layers", layers.len());
    assert!(count > 1, "nothing was compared");
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
    fsck(path);
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
fn fsck(device: &Path) {
    match Command::new("fsck.erofs").arg(device).output() {
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

fn check_layers(layers: &[archive::Packed]) {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    archive::layout(&layout, layers);
    check(&layout);
}

fn run(test: impl FnOnce()) {
    match missing() {
        Some(what) => println!("SKIPPED: this test needs {what}"),
        None => test(),
    }
}

#[test]
fn every_kind_of_entry_equals_gnu_tar() {
    run(|| check_layers(&[archive::gzip(&archive::tar(&samples::every_kind()))]));
}

#[test]
fn stacked_layers_equal_overlayfs() {
    run(|| {
        let layers: Vec<_> = samples::stack()
            .iter()
            .map(|items| archive::tar(items))
            .collect();
        check_layers(&[
            archive::plain(layers[0].clone()),
            archive::zstandard(&layers[1]),
            archive::gzip(&layers[2]),
        ]);
    });
}

#[test]
fn large_directories_equal_gnu_tar() {
    run(|| check_layers(&[archive::gzip(&archive::tar(&samples::large_directories()))]));
}

/// GNU tar itself writes the sparse forms: the old header and the three of PAX.
#[test]
fn sparse_and_huge_files_equal_gnu_tar() {
    run(|| {
        for form in [
            &["--format=gnu"][..],
            &["--format=posix", "--sparse-version=0.0"],
            &["--format=posix", "--sparse-version=0.1"],
            &["--format=posix", "--sparse-version=1.0"],
        ] {
            let folder = tempfile::tempdir().unwrap();
            samples::sparse_files(&folder.path().join("tree"));
            let path = folder.path().join("layer.tar");
            let mut tar = Command::new("tar");
            tar.args(form).arg("--sparse").arg("-cf").arg(&path);
            tar.arg("-C").arg(folder.path().join("tree")).arg(".");
            assert!(tar.status().unwrap().success());
            check_layers(&[archive::plain(fs::read(&path).unwrap())]);
        }
    });
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
