//! What a container has synced is there after its monitor was killed: on the scratch disk, on a block device, in a shared folder. The
//! harness's `storage-suite write` says in the shared folder how far it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Device, Mount};
use harness::durability;
use rustix::process::{Signal, kill_process};

use crate::Test;
use crate::case::Case;
use crate::daemon::Daemon;
use crate::deadlines::{self, LOOK_AGAIN};
use crate::mounting::{mount, run, with};

pub(crate) const TESTS: &[Test] = &[("what_was_synced_outlives_the_monitor", outlives)];

const SUITE: &str = "storage-suite";
const IN_CONTAINER: &str = "/suite";

const MIB: u64 = 1 << 20;

/// Batches of blocks that each writer has synced before the monitor is killed.
const WRITTEN: u64 = 200;

/// A file that is a file system, or a disk, for as long as it is mounted, or a loop device.
struct Undone(&'static str, &'static [&'static str], PathBuf);

impl Drop for Undone {
    fn drop(&mut self) {
        let Undone(program, words, path) = self;
        // What stays is found by the look at what the test left.
        Command::new(program).args(*words).arg(path).output().ok();
    }
}

fn command(program: &str, words: &[&Path]) -> Result<String> {
    let done = Command::new(program).args(words).output();
    let done = done.with_context(|| format!("start {program}"))?;
    ensure!(done.status.success(), "{program} {words:?}: {done:?}");
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

fn outlives(case: &Case) -> Result<()> {
    let (share, disk) = (case.folder().join("share"), case.folder().join("disk"));
    fs::create_dir(&share)?;
    File::create(&disk)?.set_len(16 * MIB)?;
    let device = command("losetup", &["--find".as_ref(), "--show".as_ref(), &disk])?;
    let device = Undone("losetup", &["--detach"], device.into());
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let container = run(&daemon, &sandbox, writers(&daemon, case, &share, &device.2))?;
    let names = ["scratch", "disk", "share"];
    let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
    for name in names {
        while durability::progress(&share.join(name))? < WRITTEN {
            ensure!(
                Instant::now() < deadline,
                "{name}: {:?}",
                daemon.status(&container)
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }
    // Without a daemon nobody removes the scratch disk of the pod that has died.
    daemon.kill()?;
    kill_process(case.monitor()?, Signal::KILL).context("kill the monitor")?;
    case.no_monitor()?;
    let found = scratch(case).and_then(|scratch| {
        let targets = [scratch.file, disk.clone(), share.join("data")];
        for (name, target) in names.iter().zip(targets) {
            let synced = durability::progress(&share.join(name))?;
            durability::verify(&target, synced).with_context(|| format!("on the {name}"))?;
        }
        Ok(())
    });
    daemon.resume()?;
    daemon.remove_sandbox(&sandbox)?;
    found
}

/// Writes to all three at once, to each forever.
fn writers(daemon: &Daemon<'_>, case: &Case, share: &Path, device: &Path) -> ContainerConfig {
    let program = Mount {
        readonly: true,
        ..mount(IN_CONTAINER, &case.dist().join(SUITE))
    };
    let write = |target: &str, name: &str| format!("{IN_CONTAINER} write {target} /share/{name}");
    let script = [
        write("/durable", "scratch"),
        write("/dev/xvda", "disk"),
        write("/share/data", "share"),
    ];
    let script = format!("{} & {} & exec {}", script[0], script[1], script[2]);
    ContainerConfig {
        devices: vec![Device {
            host_path: device.to_string_lossy().into_owned(),
            container_path: "/dev/xvda".to_owned(),
            permissions: "mrw".to_owned(),
        }],
        ..with(
            daemon,
            "main",
            &script,
            vec![program, mount("/share", share)],
        )
    }
}

/// The file that the container has written on its scratch disk.
struct Scratch {
    file: PathBuf,
    _mounted: Undone,
}

/// Mounts the pod's scratch disk as its next owner would: what was under way is in its journal.
fn scratch(case: &Case) -> Result<Scratch> {
    let folder = case.folder().join("daemon/scratch");
    let disk = fs::read_dir(&folder)?.next();
    let disk = disk.context("the scratch disk")??.path();
    let at = case.folder().join("mounted");
    fs::create_dir(&at)?;
    command(
        "mount",
        &["-o".as_ref(), "loop,nodev,nosuid".as_ref(), &disk, &at],
    )?;
    let mounted = Undone("umount", &[], at.clone());
    let file = command("find", &[&at, "-name".as_ref(), "durable".as_ref()])?;
    ensure!(!file.is_empty(), "the file is not on the scratch disk");
    Ok(Scratch {
        file: file.into(),
        _mounted: mounted,
    })
}
