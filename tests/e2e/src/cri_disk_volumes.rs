//! emptyDirs that are disks of a pod's VM, whose images lie in the kubelet's folders; and writable layers whose size the sandbox says.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::PodSandboxConfig;
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::mounting::{finish, mount, with};

pub(crate) const TESTS: &[Test] = &[
    ("empty_dir_is_a_disk_that_outlives_its_vm", outlives),
    ("full_disk_harms_no_other_and_gives_its_space_back", full),
    ("disk_that_can_not_be_made_is_named", refused),
    ("writable_layer_is_as_large_as_its_sandbox_says", layers),
];

const MIB: u64 = 1 << 20;
const DISKS: &str = "cofferdam.empty-dir-disks";
const LAYERS: &str = "cofferdam.writable-layers";
const IMAGE: &str = "cofferdam.disk";

fn annotated(daemon: &Daemon<'_>, (key, value): (&str, &str)) -> Result<PodSandboxConfig> {
    let mut config = daemon.sandbox_config("web")?;
    let annotation = (key.to_owned(), value.to_owned());
    config.annotations.extend([annotation]);
    Ok(config)
}

fn run_annotated(daemon: &Daemon<'_>, annotation: (&str, &str)) -> Result<String> {
    let sandbox = daemon.run_configured(annotated(daemon, annotation)?, "");
    sandbox.with_context(|| daemon.log())
}

/// The folder of an emptyDir, as the kubelet makes it for an fsGroup.
fn empty_dir(case: &Case, name: &str) -> Result<PathBuf> {
    let volumes = case.folder().join("kubelet/pods/u/volumes");
    let folder = volumes.join("kubernetes.io~empty-dir").join(name);
    fs::create_dir_all(&folder)?;
    chown(&folder, None, Some(2000))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2777))?;
    Ok(folder)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name());
    let names: Result<Vec<_>> = entries.map(name).collect();
    let names = names?.into_iter();
    Ok(names
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

fn taken(folder: &Path) -> Result<u64> {
    Ok(fs::metadata(folder.join(IMAGE))?.blocks() * 512)
}

fn outlives(case: &Case) -> Result<()> {
    let (data, shared) = (empty_dir(case, "data")?, empty_dir(case, "shared")?);
    let mut daemon = Daemon::start(case)?;
    let sandbox = run_annotated(&daemon, (DISKS, "data"))?;
    let mounts = vec![mount("/data", &data), mount("/shared", &shared)];
    let script = "stat -c '%a %u %g' /data; grep -c '^/dev/vd[a-z]* /data xfs' /proc/mounts; echo one >/data/one; echo node >/shared/file; \
        ln /data/one /data/again; stat -c %g /data/one";
    let config = with(&daemon, "one", script, mounts.clone());
    let said = finish(&daemon, &sandbox, config)?;
    let expect = "2777 0 2000\n1\n2000\n";
    ensure!(said == (0, expect.to_owned()), "{said:?} {}", daemon.log());
    ensure!(names(&data)? == [IMAGE], "{:?}", names(&data)?);
    ensure!(fs::read_to_string(shared.join("file"))? == "node\n");
    // Its own for each container's user, and the same for all, over a restart of the daemon.
    daemon.restart()?;
    let script = "cat /data/again; mkdir /data/sub; echo two >/data/sub/two";
    let said = finish(&daemon, &sandbox, with(&daemon, "two", script, mounts))?;
    ensure!(said == (0, "one\n".to_owned()), "{said:?}");
    // Nobody synced but the end of the container.
    daemon.remove_sandbox(&sandbox)?;
    let sandbox = run_annotated(&daemon, (DISKS, "*"))?;
    let part = data.join("sub");
    fs::create_dir(&part)?;
    let script = "cat /sub/two; echo x >/sub/new || echo no; ls /data";
    let mut sub = mount("/sub", &part);
    sub.readonly = true;
    let both = vec![sub, mount("/data", &data)];
    let said = finish(&daemon, &sandbox, with(&daemon, "three", script, both))?;
    ensure!(
        said == (0, "two\nno\nagain\none\nsub\n".to_owned()),
        "{said:?}"
    );
    daemon.remove_sandbox(&sandbox)?;
    ensure!(taken(&data)? < 16 * MIB, "{}", taken(&data)?);
    Ok(())
}

fn full(case: &Case) -> Result<()> {
    let (data, other) = (empty_dir(case, "data")?, empty_dir(case, "other")?);
    let daemon = Daemon::start(case)?;
    let sandbox = run_annotated(&daemon, (DISKS, "data=24Mi, other"))?;
    let mounts = vec![mount("/data", &data), mount("/other", &other)];
    let script = "dd if=/dev/zero of=/data/big bs=65536 count=1024 2>&1 | grep -o 'No space left on device'; df -k /data | tail -1 | tr -s ' ' | cut -d' ' -f2; \
        dd if=/dev/zero of=/other/mine bs=65536 count=480 2>/dev/null && sync && stat -c %s /other/mine";
    let config = with(&daemon, "filler", script, mounts.clone());
    let said = finish(&daemon, &sandbox, config)?;
    let expect = format!("No space left on device\n24576\n{}\n", 30 * MIB);
    ensure!(said == (0, expect), "{said:?}");
    let on_node = taken(&data)?;
    ensure!((20 * MIB..=40 * MIB).contains(&on_node), "{on_node}");
    let config = with(&daemon, "frees", "rm /data/big && sync", mounts.clone());
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(said.0 == 0, "{said:?}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
    while taken(&data)? + 16 * MIB > on_node {
        ensure!(Instant::now() < deadline, "of {on_node}: {}", taken(&data)?);
        thread::park_timeout(LOOK_AGAIN);
    }
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    for wrong in ["data=much", "data,data", "=1Gi"] {
        let sandbox = daemon.run_configured(annotated(&daemon, (DISKS, wrong))?, "");
        expect_failure(sandbox, Code::InvalidArgument, DISKS)?;
    }
    ensure!(daemon.sandboxes()?.is_empty(), "nothing is left");
    let sandbox = run_annotated(&daemon, (DISKS, "*"))?;
    let check = |name: &str, folder: &Path, words: &str| {
        let config = with(&daemon, name, "true", vec![mount("/data", folder)]);
        let id = daemon.create(&sandbox, config)?;
        let started = daemon.start_container(&id);
        expect_failure(started, Code::Internal, words)?;
        daemon.remove(&id).map_err(anyhow::Error::from)
    };
    // As a container could have left it that had the folder itself.
    let linked = empty_dir(case, "linked")?;
    let secret = case.folder().join("secret");
    File::create(&secret)?.set_len(MIB)?;
    symlink(&secret, linked.join(IMAGE))?;
    check("linked", &linked, "is no disk")?;
    ensure!(fs::read(&secret)?.iter().all(|byte| *byte == 0));
    // The node's file system has no room.
    let small = case.folder().join("small");
    File::create(&small)?.set_len(MIB)?;
    let at = case
        .folder()
        .join("kubelet/pods/v/volumes/kubernetes.io~empty-dir");
    fs::create_dir_all(&at)?;
    let shell = |line: String| -> Result<()> {
        let status = Command::new("sh").args(["-c", &line]).status()?;
        ensure!(status.success(), "{line}");
        Ok(())
    };
    let (file, point) = (small.display(), at.display());
    shell(format!(
        "mkfs.ext4 -q -b 4096 -N 16 -O ^has_journal {file} && mount -o loop {file} {point}"
    ))?;
    let result = in_small(&at, |folder| {
        check("small", folder, "No space left on device")?;
        ensure!(names(folder)?.is_empty(), "{:?}", names(folder)?);
        Ok(())
    });
    shell(format!("umount {point}"))?;
    result?;
    // The pod is as it was.
    let said = finish(&daemon, &sandbox, daemon.script("other", "echo fine"))?;
    ensure!(said == (0, "fine\n".to_owned()), "{said:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// With a folder on a file system that is nearly full.
fn in_small(at: &Path, check: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = at.join("data");
    fs::create_dir(&folder)?;
    let mut filler = File::create(at.join("filler"))?;
    let (block, mut bytes) = ([1; 4096], 0);
    while filler.write_all(&block).is_ok() {
        bytes += 4096;
    }
    // Less than a template has.
    filler.set_len(bytes - (64 << 10))?;
    check(&folder)
}

fn layers(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let wrong = annotated(&daemon, (LAYERS, "small"))?;
    let words = "says no size for \"small\"";
    expect_failure(
        daemon.run_configured(wrong, ""),
        Code::InvalidArgument,
        words,
    )?;
    let sandbox = run_annotated(&daemon, (LAYERS, "small=8Mi,*=40Mi"))?;
    let script = "dd if=/dev/zero of=/big bs=65536 count=480 2>&1 | grep -o 'No space left on device'; df -k / | tail -1 | tr -s ' ' | cut -d' ' -f2";
    let check = |name: &str, expect: &str| -> Result<()> {
        let said = finish(&daemon, &sandbox, with(&daemon, name, script, Vec::new()))?;
        ensure!(said == (0, expect.to_owned()), "{name}: {said:?}");
        Ok(())
    };
    check("small", "No space left on device\n8192\n")?;
    check("other", "40960\n")?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
