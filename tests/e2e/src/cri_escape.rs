//! No way leads out of a shared folder: the harness's `storage-suite escape`, as root in a container, while the node swaps folders for
//! links in the share. What it looks for is a file beside the share, and what it leaves is looked for there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cri::v1::{LinuxContainerConfig, LinuxContainerSecurityContext, Mount};
use harness::escape::{CANARY, FILE_SWAPPED_BY_NODE, OUTSIDE, SECRET, SWAPPED_BY_NODE};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};

use crate::Test;
use crate::case::Case;
use crate::daemon::Daemon;
use crate::mounting::{finish, mount, with};

pub(crate) const TESTS: &[Test] = &[("no_way_leads_out_of_a_share", no_way_out)];

const SUITE: &str = "storage-suite";
const IN_CONTAINER: &str = "/suite";

/// Between two swaps: the container shall see both.
const BETWEEN: Duration = Duration::from_millis(1);

/// What one way says at the end of its line.
const INSIDE: &str = "stays inside";
const WAYS: usize = 9;

/// A folder to be shared, another one, and what lies beside.
fn prepare(node: &Path) -> Result<()> {
    for folder in ["share", "other", OUTSIDE, "share/devices"] {
        fs::create_dir_all(node.join(folder))?;
    }
    fs::write(node.join(OUTSIDE).join(CANARY), SECRET)?;
    let share = node.join("share");
    fs::create_dir(share.join(SWAPPED_BY_NODE))?;
    symlink(Path::new("..").join(OUTSIDE), share.join("spare-folder"))?;
    fs::write(share.join(FILE_SWAPPED_BY_NODE), "")?;
    let canary = Path::new("..").join(OUTSIDE).join(CANARY);
    symlink(canary, share.join("spare-file"))?;
    // As a container that may make devices on the node could have left them: the guest's own disks, by their numbers.
    for (name, kind, major, minor) in [
        ("mem", FileType::CharacterDevice, 1, 1),
        ("virtio", FileType::BlockDevice, 254, 0),
        ("extended", FileType::BlockDevice, 259, 0),
    ] {
        let mode = Mode::from_raw_mode(0o666);
        let path = share.join("devices").join(name);
        mknodat(CWD, path, kind, mode, makedev(major, minor)).context("make a device node")?;
    }
    Ok(())
}

/// Swaps until told to end.
fn swap(share: &Path, end: &AtomicBool) {
    let pairs = [
        (SWAPPED_BY_NODE, "spare-folder"),
        (FILE_SWAPPED_BY_NODE, "spare-file"),
    ];
    while !end.load(Ordering::Relaxed) {
        for (one, other) in pairs {
            let (one, other) = (share.join(one), share.join(other));
            // That it does is for the container to see.
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).ok();
        }
        thread::park_timeout(BETWEEN);
    }
}

fn no_way_out(case: &Case) -> Result<()> {
    let suite = case.dist().join(SUITE);
    finds_an_open_door(case, &suite)?;
    let node = case.folder().join("node");
    prepare(&node)?;
    let daemon = Daemon::start(case)?;
    let sandbox = run_privileged_sandbox(&daemon)?;
    let program = Mount {
        readonly: true,
        ..mount(IN_CONTAINER, &suite)
    };
    let mounts = vec![
        program,
        mount("/share", &node.join("share")),
        mount("/other", &node.join("other")),
    ];
    let outside = node.join(OUTSIDE);
    let script = |what: &str| {
        let outside = outside.display();
        format!("{IN_CONTAINER} {what} /share /other {outside} 2>&1")
    };
    let config = with(&daemon, "hostile", &script("escape"), mounts.clone());
    let end = AtomicBool::new(false);
    let said = thread::scope(|scope| {
        scope.spawn(|| swap(&node.join("share"), &end));
        let said = finish(&daemon, &sandbox, config);
        end.store(true, Ordering::Relaxed);
        said
    });
    let (code, said) = said?;
    let inside = said.lines().filter(|line| line.ends_with(INSIDE)).count();
    ensure!(code == 0 && inside == WAYS, "{said}\n{}", daemon.log());
    let mut config = with(&daemon, "privileged", &script("handles"), mounts);
    config.linux = Some(LinuxContainerConfig {
        resources: None,
        security_context: Some(LinuxContainerSecurityContext {
            privileged: true,
            ..LinuxContainerSecurityContext::default()
        }),
    });
    let (code, said) = finish(&daemon, &sandbox, config)?;
    ensure!(code == 0 && said.trim().ends_with(INSIDE), "{said}");
    ensure!(fs::read_to_string(outside.join(CANARY))? == SECRET);
    let beside = fs::read_dir(&outside)?.count();
    ensure!(beside == 1, "{beside} files beside the share");
    ensure!(fs::read_dir(&node)?.count() == 3, "something new: {node:?}");
    ensure!(fs::read_dir(node.join("other"))?.count() == 0);
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// Where nothing is in the way, the program gets out, and says so.
fn finds_an_open_door(case: &Case, suite: &Path) -> Result<()> {
    let node = case.folder().join("open");
    prepare(&node)?;
    // Without its own races, which need somebody who swaps.
    let folders = ["share", "other", OUTSIDE].map(|name| node.join(name));
    let said = Command::new(suite).arg("escape").args(folders).output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(
        said.starts_with("parents: ") && said.contains("GETS OUT"),
        "{said}"
    );
    ensure!(node.join(OUTSIDE).join("planted").exists(), "{said}");
    Ok(fs::remove_dir_all(&node)?)
}

fn run_privileged_sandbox(daemon: &Daemon<'_>) -> Result<String> {
    let mut config = daemon.sandbox_config("hostile")?;
    let linux = config.linux.as_mut().context("its Linux part")?;
    let context = linux.security_context.as_mut().context("its context")?;
    context.privileged = true;
    Ok(daemon.run_configured(config, "")?)
}
