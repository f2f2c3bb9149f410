//! Writable layers: on a scratch disk of the pod's with a limit for each, or in the guest's memory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerStatsRequest, FilesystemUsage, ImageFsInfoRequest};
use toml::Table;

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::Daemon;
use crate::deadlines::{self, LOOK_AGAIN};
use crate::mounting::{finish, with};

pub(crate) const TESTS: &[Test] = &[
    ("full_layer_harms_no_other_and_gives_its_space_back", full),
    ("layer_goes_with_its_container_and_disk_with_its_pod", gone),
    ("layer_in_memory_is_limited", memory),
    ("missing_template_is_named", missing),
];

const MIB: u64 = 1 << 20;

/// Until it is told to end.
const WAIT: &str = "trap 'exit 0' TERM; while :; do sleep 1; done";

fn limited_to(mib: u32) -> Result<Table> {
    Ok(format!("[container]\nwritable_mib = {mib}").parse()?)
}

/// The only scratch disk.
fn disk(case: &Case) -> Result<Option<PathBuf>> {
    let folder = case.folder().join("daemon/scratch");
    let mut entries =
        fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let first = entries.next().transpose()?;
    ensure!(entries.next().is_none(), "one disk for a pod");
    Ok(first.map(|entry| entry.path()))
}

fn taken(case: &Case) -> Result<u64> {
    let path = disk(case)?.context("a scratch disk")?;
    Ok(fs::metadata(path)?.blocks() * 512)
}

fn layer(daemon: &Daemon<'_>, id: &str) -> Result<FilesystemUsage> {
    let request = ContainerStatsRequest {
        container_id: id.to_owned(),
    };
    let stats = daemon.call(async |mut client| client.container_stats(request).await)?;
    let layer = stats.stats.and_then(|stats| stats.writable_layer);
    layer.context("its writable layer")
}

fn bytes(usage: &FilesystemUsage) -> u64 {
    usage.used_bytes.as_ref().map_or(0, |bytes| bytes.value)
}

fn full(case: &Case) -> Result<()> {
    let daemon = Daemon::start_with(case, Images::Shared, limited_to(24)?)?;
    let sandbox = daemon.run_sandbox("web")?;
    let filler = daemon.run(&sandbox, "filler", WAIT)?;
    let said = daemon.exec(
        &filler,
        "dd if=/dev/zero of=/big bs=65536 count=1024 2>&1; df -k / | tail -1",
        120,
    )?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.contains("No space left on device"), "{said}");
    let size = said
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().nth(1));
    ensure!(size == Some("24576"), "df: {said}");
    // It still has all of its own.
    let other =
        "dd if=/dev/zero of=/mine bs=65536 count=320 2>/dev/null && sync && stat -c %s /mine";
    let other = finish(&daemon, &sandbox, with(&daemon, "other", other, Vec::new()))?;
    ensure!(other == (0, format!("{}\n", 20 * MIB)), "{other:?}");
    let usage = layer(&daemon, &filler)?;
    ensure!((23 * MIB..=24 * MIB).contains(&bytes(&usage)), "{usage:?}");
    let inodes = usage.inodes_used.context("its inodes")?.value;
    ensure!((3..20).contains(&inodes), "{inodes}");
    let on_host = taken(case)?;
    ensure!(on_host >= 20 * MIB, "the host's file takes {on_host}");
    let request = ImageFsInfoRequest::default();
    let answer = daemon.image_call(async |mut client| client.image_fs_info(request).await)?;
    let images = answer.image_filesystems.first().map_or(0, bytes);
    ensure!(
        images >= on_host,
        "{images} with the scratch disks' {on_host}"
    );
    let freed = daemon.exec(&filler, "rm /big && sync", 120)?;
    ensure!(freed.exit_code == 0, "{freed:?}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
    while taken(case)? + 16 * MIB > on_host {
        ensure!(Instant::now() < deadline, "of {on_host}: {}", taken(case)?);
        thread::park_timeout(LOOK_AGAIN);
    }
    daemon.remove_sandbox(&sandbox)?;
    ensure!(disk(case)?.is_none(), "the disk goes with its pod");
    Ok(())
}

fn gone(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start_with(case, Images::Shared, limited_to(64)?)?;
    let sandbox = daemon.run_sandbox("web")?;
    let first = daemon.run(&sandbox, "first", WAIT)?;
    let wrote = daemon.exec(
        &first,
        "dd if=/dev/zero of=/f bs=65536 count=256 && sync",
        120,
    )?;
    ensure!(wrote.exit_code == 0, "{wrote:?}");
    daemon.restart()?;
    let usage = layer(&daemon, &first)?;
    ensure!(bytes(&usage) >= 16 * MIB, "after a restart: {usage:?}");
    let before = taken(case)?;
    daemon.stop(&first, 5)?;
    daemon.remove(&first)?;
    let second = daemon.run(&sandbox, "second", WAIT)?;
    let usage = layer(&daemon, &second)?;
    ensure!(bytes(&usage) < MIB, "one of its own: {usage:?}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
    loop {
        // What is free is told to the host when the file system's log is written.
        daemon.exec(&second, "sync", 120)?;
        if taken(case)? + 12 * MIB < before {
            break;
        }
        ensure!(Instant::now() < deadline, "of {before}: {}", taken(case)?);
        thread::park_timeout(LOOK_AGAIN);
    }
    daemon.kill()?;
    daemon.resume()?;
    daemon.remove_sandbox(&sandbox)?;
    ensure!(disk(case)?.is_none(), "the disk goes with its pod");
    Ok(())
}

fn memory(case: &Case) -> Result<()> {
    let over = "[container]\nwritable_layer = 'memory'\nwritable_mib = 8".parse()?;
    let daemon = Daemon::start_with(case, Images::Shared, over)?;
    let sandbox = daemon.run_sandbox("web")?;
    let script = "dd if=/dev/zero of=/big bs=65536 count=256 2>&1; df / | tail -1";
    let (_, said) = finish(&daemon, &sandbox, with(&daemon, "main", script, Vec::new()))?;
    ensure!(said.contains("No space left on device"), "{said}");
    ensure!(!case.folder().join("daemon/scratch").exists(), "no disk");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn missing(case: &Case) -> Result<()> {
    let nowhere = case.folder().join("nowhere");
    let over = format!("scratch_template = '{}'", nowhere.display()).parse()?;
    let daemon = Daemon::start_with(case, Images::Shared, over)?;
    let error = daemon.run_sandbox("web");
    let error = error.unwrap_or_else(|error| format!("{error:#}"));
    ensure!(error.contains(&nowhere.display().to_string()), "{error}");
    ensure!(error.contains("scratch_template"), "{error}");
    ensure!(daemon.sandboxes()?.is_empty());
    Ok(())
}
