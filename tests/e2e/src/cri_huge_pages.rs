//! Huge pages of a pod's VM: set aside by the limits of its sandbox or of its cgroup, mounted for an emptyDir of medium HugePages, limited for each
//! container.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, HugepageLimit, LinuxContainerResources, Mount, PodSandboxConfig};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure, log_text};
use crate::mounting::{finish, mount, run, with};

pub(crate) const TESTS: &[Test] = &[
    (
        "pages_of_the_sandboxs_limit_are_shared_and_limited",
        of_sandbox,
    ),
    ("pages_of_the_pods_cgroup_outlive_the_daemon", of_cgroup),
    ("pages_that_can_not_be_had_are_refused", refused),
];

const MIB: u64 = 1 << 20;
const PARENT: &str = "/kubepods-huge";

/// Waits for another container's word.
const WAIT: &str = "until [ -e /huge/go ]; do sleep 0.2; done";

/// A hugetlbfs where the kubelet mounts one for a pod.
struct Kubelets(PathBuf);

impl Kubelets {
    fn mount(case: &Case) -> Result<Self> {
        let volumes = case.folder().join("kubelet/pods/u/volumes");
        let at = volumes.join("kubernetes.io~empty-dir/huge");
        fs::create_dir_all(&at)?;
        let words = ["-t", "hugetlbfs", "-o", "pagesize=2M"];
        let mut command = Command::new("mount");
        let mounted = command.args(words).arg("kubelet").arg(&at).status()?;
        ensure!(mounted.success(), "mount a hugetlbfs");
        // For an fsGroup.
        let kubelets = Self(at);
        chown(&kubelets.0, None, Some(2000))?;
        fs::set_permissions(&kubelets.0, fs::Permissions::from_mode(0o2775))?;
        Ok(kubelets)
    }

    fn in_container(&self) -> Vec<Mount> {
        vec![mount("/huge", &self.0)]
    }
}

impl Drop for Kubelets {
    fn drop(&mut self) {
        // What stays is found by the look at what the test left.
        Command::new("umount").arg(&self.0).status().ok();
    }
}

fn limits(page_size: &str, bytes: u64) -> LinuxContainerResources {
    LinuxContainerResources {
        hugepage_limits: vec![HugepageLimit {
            page_size: page_size.to_owned(),
            limit: bytes,
        }],
        ..LinuxContainerResources::default()
    }
}

fn limited(config: ContainerConfig, bytes: u64) -> ContainerConfig {
    let mut config = config;
    config.linux.get_or_insert_default().resources = Some(limits("2MB", bytes));
    config
}

fn sandbox(daemon: &Daemon<'_>, resources: LinuxContainerResources) -> Result<PodSandboxConfig> {
    let mut config = daemon.sandbox_config("web")?;
    config.linux.get_or_insert_default().resources = Some(resources);
    Ok(config)
}

fn of_sandbox(case: &Case) -> Result<()> {
    let kubelets = Kubelets::mount(case)?;
    let daemon = Daemon::start(case)?;
    let config = sandbox(&daemon, limits("2MB", 16 * MIB))?;
    let sandbox = daemon.run_configured(config, "");
    let sandbox = sandbox.with_context(|| daemon.log())?;
    let mounts = kubelets.in_container();
    // What it allocates is there for the other; more than it may have is not.
    let script = "stat -c '%a %u %g' /huge; grep -c ' /huge hugetlbfs rw.*pagesize=2M' /proc/mounts; fallocate -l 4194304 /huge/a && echo four; \
        fallocate -l 8388608 /huge/b 2>/dev/null || echo no more; rm /huge/b; touch /huge/go; cat /sys/fs/cgroup/hugetlb.2MB.max";
    let writer = limited(with(&daemon, "writer", script, mounts.clone()), 8 * MIB);
    let script = format!("{WAIT}; wc -c </huge/a; fallocate -l 2097152 /huge/c || echo none");
    let reader = limited(with(&daemon, "reader", &script, mounts.clone()), 0);
    let log = daemon.logs().join(&reader.log_path);
    let reader = run(&daemon, &sandbox, reader)?;
    let said = finish(&daemon, &sandbox, writer)?;
    let expect = "2775 0 2000\n1\nfour\nno more\n8388608\n";
    ensure!(said == (0, expect.to_owned()), "{said:?}");
    daemon.ended(&reader)?;
    let read = log_text(&log, "stdout")?;
    let read = String::from_utf8(read)?;
    ensure!(read == "4194304\nnone\n", "{read:?}");
    // Ordinary memory is as it was, beside the pages.
    let script = "grep -E 'HugePages_Total|Hugepagesize' /proc/meminfo | tr -s ' '; grep MemAvailable /proc/meminfo | tr -dc 0-9";
    let (_, said) = finish(
        &daemon,
        &sandbox,
        with(&daemon, "looks", script, Vec::new()),
    )?;
    let available = said
        .strip_prefix("HugePages_Total: 8\nHugepagesize: 2048 kB\n")
        .with_context(|| said.clone())?;
    let available: u64 = available.trim().parse().context("a number of KiB")?;
    ensure!(available > 128 << 10, "{available} KiB");
    // A folder of it, as with subPath.
    let script = "touch /huge/in-sub; ls /whole/sub";
    let part = kubelets.0.join("sub");
    fs::create_dir(&part)?;
    let bound = kubelets.0.with_file_name("bound");
    fs::create_dir(&bound)?;
    let shell = |program: &str, words: &[&Path]| -> Result<()> {
        let done = Command::new(program).args(words).status()?;
        ensure!(done.success(), "{program} {words:?}");
        Ok(())
    };
    shell("mount", &["--bind".as_ref(), &part, &bound])?;
    let both = vec![mount("/huge", &bound), mount("/whole", &kubelets.0)];
    let said = finish(&daemon, &sandbox, with(&daemon, "part", script, both));
    shell("umount", &[&bound])?;
    let said = said?;
    ensure!(said == (0, "in-sub\n".to_owned()), "{said:?}");
    ensure!(fs::read_dir(&part)?.next().is_none(), "the node has it");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// As kubelet does it: of the sandbox it says nothing, and the pod's cgroup has the sum.
fn of_cgroup(case: &Case) -> Result<()> {
    let folder = Path::new("/sys/fs/cgroup").join(PARENT.trim_start_matches('/'));
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+hugetlb").context("the controller")?;
    fs::create_dir(&folder).context("make the pod's cgroup")?;
    let result = in_cgroup(case, &folder);
    let removed = fs::remove_dir(&folder);
    result?;
    removed.context("remove the pod's cgroup")
}

fn in_cgroup(case: &Case, folder: &Path) -> Result<()> {
    fs::write(folder.join("hugetlb.2MB.max"), (4 * MIB).to_string())?;
    let kubelets = Kubelets::mount(case)?;
    let mut daemon = Daemon::start(case)?;
    let mut config = daemon.sandbox_config("web")?;
    config.linux.get_or_insert_default().cgroup_parent = PARENT.to_owned();
    let sandbox = daemon.run_configured(config, "");
    let sandbox = sandbox.with_context(|| daemon.log())?;
    daemon.restart()?;
    let script = "fallocate -l 4194304 /huge/a && wc -c </huge/a";
    let config = with(&daemon, "main", script, kubelets.in_container());
    let said = finish(&daemon, &sandbox, limited(config, 4 * MIB))?;
    ensure!(said == (0, "4194304\n".to_owned()), "{said:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let kubelets = Kubelets::mount(case)?;
    let daemon = Daemon::start(case)?;
    let run = |resources| -> Result<_> {
        let config = sandbox(&daemon, resources)?;
        Ok(daemon.run_configured(config, ""))
    };
    expect_failure(
        run(limits("3MB", MIB))?,
        Code::InvalidArgument,
        "no guest has huge pages of \"3MB\"",
    )?;
    let many = run(limits("2MB", u64::MAX))?;
    expect_failure(many, Code::InvalidArgument, "a VM can't have more than")?;
    ensure!(daemon.sandboxes()?.is_empty(), "nothing is left");
    // Without a limit there are none.
    let sandbox = daemon.run_sandbox("none")?;
    let config = with(&daemon, "main", "true", kubelets.in_container());
    let created = daemon.create(&sandbox, config.clone());
    let words = "set no huge pages of 2MB aside";
    expect_failure(created, Code::Unimplemented, words)?;
    let created = daemon.create(&sandbox, limited(config, 2 * MIB));
    let words = "2097152 bytes of huge pages of 2MB, and its pod's VM has 0";
    expect_failure(created, Code::FailedPrecondition, words)?;
    ensure!(daemon.containers()?.is_empty(), "nothing is left");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
