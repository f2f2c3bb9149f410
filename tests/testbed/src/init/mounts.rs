//! The file systems of a test host: the root of the machine outside, read-only, under an overlay in memory; and what
//! programs expect to find mounted on a Linux machine.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_move};
use testbed::control;

const NEW_ROOT: &str = "/new";

/// One call of mount(2); the folder is made if it is missing.
struct Mount<'a> {
    source: &'a str,
    target: &'a str,
    kind: &'a str,
    flags: MountFlags,
    options: &'a str,
}

impl Mount<'_> {
    fn make(&self) -> Result<()> {
        let Mount {
            source,
            target,
            kind,
            flags,
            options,
        } = *self;
        fs::create_dir_all(target).with_context(|| format!("create {target}"))?;
        let data = CString::new(options).context("mount options")?;
        mount(source, target, kind, flags, data.as_c_str())
            .with_context(|| format!("mount {source} on {target} ({kind} {options})"))
    }
}

fn plain<'a>(source: &'a str, target: &'a str, kind: &'a str, options: &'a str) -> Mount<'a> {
    Mount {
        source,
        target,
        kind,
        flags: MountFlags::empty(),
        options,
    }
}

/// A share of the machine outside. `loose` keeps what was read: right for what nobody changes meanwhile.
fn share(tag: &str, target: &str, flags: MountFlags, cache: &str) -> Result<()> {
    let options = format!("trans=virtio,version=9p2000.L,msize=512000,cache={cache}");
    Mount {
        source: tag,
        target,
        kind: "9p",
        flags,
        options: &options,
    }
    .make()
}

/// What is needed to load modules and to see devices.
pub(crate) fn kernel_file_systems() -> Result<()> {
    plain("proc", "/proc", "proc", "").make()?;
    plain("sysfs", "/sys", "sysfs", "").make()?;
    plain("devtmpfs", "/dev", "devtmpfs", "mode=0755").make()
}

/// Puts the overlaid root of the machine outside in the place of the initramfs.
pub(crate) fn root() -> Result<()> {
    share(control::ROOT_TAG, "/lower", MountFlags::RDONLY, "loose")?;
    plain("tmpfs", "/upper", "tmpfs", "size=75%,mode=755").make()?;
    for folder in ["/upper/content", "/upper/work"] {
        fs::create_dir(folder).with_context(|| format!("create {folder}"))?;
    }
    let layers = "lowerdir=/lower,upperdir=/upper/content,workdir=/upper/work";
    plain("root", NEW_ROOT, "overlay", layers).make()?;
    for folder in ["proc", "sys", "dev"] {
        let (from, to) = (format!("/{folder}"), format!("{NEW_ROOT}/{folder}"));
        fs::create_dir_all(&to).with_context(|| format!("create {to}"))?;
        mount_move(&from, &to).with_context(|| format!("move {from} to {to}"))?;
    }
    // The initramfs can't be unmounted (pivot_root(2)); it is covered instead.
    rustix::process::chdir(NEW_ROOT).context("enter the new root")?;
    mount_move(".", "/").context("move the new root to /")?;
    rustix::process::chroot(".").context("change root")?;
    rustix::process::chdir("/").context("enter /")
}

/// The other folders that come from outside.
pub(crate) fn shares() -> Result<()> {
    Mount {
        source: "tmpfs",
        target: "/run",
        kind: "tmpfs",
        flags: MountFlags::NOSUID | MountFlags::NODEV,
        options: "mode=755",
    }
    .make()?;
    share(
        control::MODULES_TAG,
        "/lib/modules",
        MountFlags::RDONLY,
        "loose",
    )?;
    share(
        control::CONTROL_TAG,
        control::CONTROL_MOUNT,
        MountFlags::empty(),
        "none",
    )?;
    let results = share(
        control::RESULTS_TAG,
        control::RESULTS_MOUNT,
        MountFlags::empty(),
        "none",
    );
    if results.is_err() {
        // There is no such share: what is written there is thrown away, like everything else.
        return plain("tmpfs", control::RESULTS_MOUNT, "tmpfs", "mode=755").make();
    }
    Ok(())
}

/// What programs expect to find.
pub(crate) fn for_programs() -> Result<()> {
    plain(
        "devpts",
        "/dev/pts",
        "devpts",
        "gid=5,mode=620,ptmxmode=666",
    )
    .make()?;
    plain("shm", "/dev/shm", "tmpfs", "mode=1777").make()?;
    plain("mqueue", "/dev/mqueue", "mqueue", "").make()?;
    plain("hugetlbfs", "/dev/hugepages", "hugetlbfs", "").make()?;
    plain("bpf", "/sys/fs/bpf", "bpf", "").make()?;
    plain("securityfs", "/sys/kernel/security", "securityfs", "").make()?;
    plain("debugfs", "/sys/kernel/debug", "debugfs", "").make()?;
    plain("tracefs", "/sys/kernel/tracing", "tracefs", "").make()?;
    fs::create_dir_all("/run/lock").context("create /run/lock")?;
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        if !Path::new(link).is_symlink() {
            symlink(target, link).with_context(|| format!("link {link}"))?;
        }
    }
    // As systemd has it: mounts made in one place are seen in the namespaces that hang on it.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", shared).context("share mounts")
}
