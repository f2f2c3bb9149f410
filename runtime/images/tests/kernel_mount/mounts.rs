//! The two ways to the same tree: a loop-mounted EROFS, and GNU tar with overlayfs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// A mount that goes when it is dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn erofs(device: &Path, at: &Path) -> Self {
        fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "erofs", "-o", "loop,ro"])
            .arg(device)
            .arg(at);
        run(&mut mount);
        Self(at.to_owned())
    }

    /// `layers` bottom first, as OCI has them; overlayfs wants the top first, and two at least.
    pub(crate) fn overlay(layers: &[PathBuf], at: &Path) -> Self {
        fs::create_dir(at).unwrap();
        let below = at.with_extension("empty");
        fs::create_dir(&below).unwrap();
        let mut lower: Vec<_> = layers
            .iter()
            .rev()
            .map(|path| path.display().to_string())
            .collect();
        lower.push(below.display().to_string());
        let mut mount = Command::new("mount");
        let options = format!("ro,lowerdir={}", lower.join(":"));
        mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(at);
        run(&mut mount);
        Self(at.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg(&self.0).status() {
            println!("could not unmount {}: {error}", self.0.display());
        }
    }
}

/// Unpacks the layers of an OCI layout, one folder each, bottom first.
pub(crate) fn unpack_layers(layout: &Path, into: &Path) -> Vec<PathBuf> {
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let blob = |digest: &serde_json::Value| {
        layout
            .join("blobs")
            .join(digest.as_str().unwrap().replace(':', "/"))
    };
    let index = read(&layout.join("index.json"));
    let manifest = read(&blob(&index["manifests"][0]["digest"]));
    let layers = manifest["layers"].as_array().unwrap().iter().enumerate();
    layers
        .map(|(number, layer)| {
            let folder = into.join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            let mut tar = Command::new("tar");
            tar.args([
                "--numeric-owner",
                "--same-owner",
                "-p",
                "--xattrs",
                "--xattrs-include=*",
            ]);
            tar.args(["--delay-directory-restore", "-xf"])
                .arg(blob(&layer["digest"]));
            run(tar.arg("-C").arg(&folder));
            convert_whiteouts(&folder);
            folder
        })
        .collect()
}

/// Replaces OCI's whiteout names by what overlayfs knows, and leaves folders' times as they were.
fn convert_whiteouts(folder: &Path) {
    let before = fs::symlink_metadata(folder).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_encoded_bytes();
        if entry.file_type().unwrap().is_dir() {
            convert_whiteouts(&entry.path());
        } else if name == b".wh..wh..opq" {
            fs::remove_file(entry.path()).unwrap();
            let flags = XattrFlags::empty();
            rustix::fs::setxattr(folder, "trusted.overlay.opaque", b"y", flags).unwrap();
        } else if let Some(hidden) = name.strip_prefix(b".wh.") {
            fs::remove_file(entry.path()).unwrap();
            let hidden = folder.join(String::from_utf8(hidden.to_vec()).unwrap());
            hide(&hidden);
        }
    }
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(before.atime(), before.atime_nsec()),
        last_modification: time(before.mtime(), before.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, folder, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A whiteout hides lower layers only: what this layer has under the name stays, and if that is a
/// folder it starts anew.
fn hide(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let flags = XattrFlags::empty();
            rustix::fs::setxattr(path, "trusted.overlay.opaque", b"y", flags).unwrap();
        }
        Ok(_) => {}
        Err(_) => {
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(CWD, path, kind, Mode::empty(), 0).unwrap();
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
}
