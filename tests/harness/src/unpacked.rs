//! An image's layers as GNU tar unpacks them, stacked by overlayfs: what our EROFS has to equal. Main types: [`Unpacked`], and
//! [`Mount`], which ends with its value. For root on a machine that [`missing`] has nothing to say of.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::probe::Need;

/// What layers are unpacked on. An ext4 of our own, because not every file system that a test's folder may be on has
/// everything: tmpfs has no user attributes before Linux 6.6, and overlayfs no whiteouts within itself.
const DISK_BYTES: u64 = 32 << 30;
/// What the two ways need, as /proc/filesystems has it.
const FILE_SYSTEMS: [&str; 3] = ["erofs", "overlay", "ext4"];
const OPAQUE: &str = "trusted.overlay.opaque";

/// What this machine lacks for the comparison, in words for a person; `None` where it has everything.
pub fn missing() -> Option<String> {
    if let Some(reason) = Need::Root.missing() {
        return Some(reason);
    }
    // Debian's kernels have these as modules; one that is not there is missed below.
    for module in FILE_SYSTEMS.iter().chain(&["loop"]) {
        Command::new("modprobe").arg(module).output().ok();
    }
    let there = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for name in FILE_SYSTEMS {
        if !there.split_whitespace().any(|word| word == name) {
            return Some(format!("a kernel with {name}"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("loop devices".to_owned());
    }
    for (program, argument, says) in [
        ("tar", "--version", "tar (GNU tar)"),
        ("mkfs.ext4", "-V", ""),
    ] {
        let output = Command::new(program).arg(argument).output();
        if !output.is_ok_and(|output| output.stdout.starts_with(says.as_bytes())) {
            return Some(format!("{program} {says}").trim().to_owned());
        }
    }
    None
}

/// The layers of one image, unpacked and stacked, read-only. Gone when dropped, from top to bottom.
#[derive(Debug)]
pub struct Unpacked {
    root: Mount,
    layers: usize,
    _disk: Mount,
    _folder: TempDir,
}

impl Unpacked {
    /// Of the first image of an OCI layout folder.
    pub fn layout(layout: &Path) -> Result<Unpacked> {
        let folder = tempfile::tempdir().context("make a folder to unpack in")?;
        let at = |name: &str| folder.path().join(name);
        let disk = Mount::new_ext4(&at("disk"), &at("unpacked"))?;
        let layers = unpack_layers(layout, disk.path())?;
        let root = Mount::overlay(&layers, &at("root"))?;
        Ok(Unpacked {
            root,
            layers: layers.len(),
            _disk: disk,
            _folder: folder,
        })
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// How many there are.
    pub fn layers(&self) -> usize {
        self.layers
    }
}

/// A mount that goes when it is dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// An image file with an EROFS.
    pub fn erofs(device: &Path, at: &Path) -> Result<Mount> {
        Mount::make("erofs", device, "loop,ro", at)
    }

    /// Several files with one EROFS: the first has its metadata, the others are the devices that its table names.
    pub fn erofs_of_files(files: &[PathBuf], at: &Path) -> Result<Mount> {
        let loops: Vec<PathBuf> = files
            .iter()
            .map(|file| attach(file))
            .collect::<Result<_>>()?;
        let (first, others) = loops.split_first().context("a file at least")?;
        let devices = others
            .iter()
            .map(|device| format!(",device={}", device.display()));
        let options = format!("ro{}", devices.collect::<String>());
        let mounted = Mount::make("erofs", first, &options, at);
        // What is mounted keeps them until it is not.
        for device in &loops {
            run(Command::new("losetup").arg("--detach").arg(device))?;
        }
        mounted
    }

    /// A new file system in a new file.
    fn new_ext4(file: &Path, at: &Path) -> Result<Mount> {
        let disk = File::create_new(file).with_context(|| format!("create {file:?}"))?;
        disk.set_len(DISK_BYTES).context("make it large")?;
        // Nobody keeps it past a crash.
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-O", "^has_journal"])
            .arg(file))?;
        Mount::make("ext4", file, "loop,user_xattr,acl", at)
    }

    /// `layers` bottom first, as OCI has them; overlayfs wants the top first, and two at least.
    fn overlay(layers: &[PathBuf], at: &Path) -> Result<Mount> {
        let below = at.with_extension("empty");
        fs::create_dir(&below).with_context(|| format!("create {below:?}"))?;
        let stack = layers.iter().rev().chain([&below]);
        let stack: Vec<_> = stack.map(|path| path.display().to_string()).collect();
        let options = format!("ro,lowerdir={}", stack.join(":"));
        Mount::make("overlay", Path::new("overlay"), &options, at)
    }

    fn make(kind: &str, source: &Path, options: &str, at: &Path) -> Result<Mount> {
        fs::create_dir(at).with_context(|| format!("create {at:?}"))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", options]).args([source, at]);
        run(&mut mount)?;
        Ok(Mount(at.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.0)) {
            eprintln!("{error:#}");
        }
    }
}

/// Makes a file a loop device.
fn attach(file: &Path) -> Result<PathBuf> {
    let mut command = Command::new("losetup");
    command.args(["--find", "--show", "--read-only"]).arg(file);
    let output = command.output().context("start losetup")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    let device = String::from_utf8(output.stdout).context("a device's name")?;
    Ok(device.trim().into())
}

/// Unpacks the layers of an OCI layout, one folder each, bottom first.
fn unpack_layers(layout: &Path, into: &Path) -> Result<Vec<PathBuf>> {
    let read = |path: &Path| -> Result<Value> {
        let text = fs::read(path).with_context(|| format!("read {path:?}"))?;
        serde_json::from_slice(&text).with_context(|| format!("understand {path:?}"))
    };
    let blob = |descriptor: &Value| -> Result<PathBuf> {
        let digest = descriptor["digest"].as_str().context("find a digest")?;
        Ok(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let index = read(&layout.join("index.json"))?;
    let manifest = read(&blob(&index["manifests"][0])?)?;
    let layers = manifest["layers"].as_array().context("find layers")?;
    let unpack = |(number, layer): (usize, &Value)| {
        let folder = into.join(number.to_string());
        fs::create_dir(&folder).with_context(|| format!("create {folder:?}"))?;
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--same-owner", "-p"]);
        tar.args(["--xattrs", "--xattrs-include=*"]);
        tar.args(["--delay-directory-restore", "-xf"])
            .arg(blob(layer)?);
        // Of times and keywords it tells what it finds strange; what else it says is something that it could not do.
        tar.args(["--warning=no-timestamp", "--warning=no-unknown-keyword"]);
        let said = run(tar.arg("-C").arg(&folder))?;
        ensure!(said.is_empty(), "{tar:?}: {said}");
        convert_whiteouts(&folder).with_context(|| format!("convert whiteouts in {folder:?}"))?;
        Ok(folder)
    };
    layers.iter().enumerate().map(unpack).collect()
}

/// Replaces OCI's whiteout names by what overlayfs knows, and leaves folders' times as they were.
fn convert_whiteouts(folder: &Path) -> Result<()> {
    let before = fs::symlink_metadata(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_encoded_bytes();
        if entry.file_type()?.is_dir() {
            convert_whiteouts(&entry.path())?;
        } else if name == b".wh..wh..opq" {
            fs::remove_file(entry.path())?;
            rustix::fs::setxattr(folder, OPAQUE, b"y", XattrFlags::empty())?;
        } else if let Some(hidden) = name.strip_prefix(b".wh.") {
            fs::remove_file(entry.path())?;
            hide(&folder.join(std::str::from_utf8(hidden)?))?;
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
    Ok(rustix::fs::utimensat(
        CWD,
        folder,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// A whiteout hides lower layers only: what this layer has under the name stays, and if that is a
/// folder it starts anew.
fn hide(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            rustix::fs::setxattr(path, OPAQUE, b"y", XattrFlags::empty())?;
        }
        Ok(_) => {}
        Err(_nothing_there) => {
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(CWD, path, kind, Mode::empty(), 0)?;
        }
    }
    Ok(())
}

/// Runs a command that has to succeed; what it wrote to its standard error.
fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(said)
}
