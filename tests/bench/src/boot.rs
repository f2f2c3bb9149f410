//! One boot of each monitor, measured when its agent answers, and one more under strace. Main types: [`Measured`], [`Sample`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use agent_client::{Agent, Connector};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vm_client::{Deadlines, Identity, LaunchPlan, Lifetime, Monitor, Processors};

use crate::{deadlines, dist::Dist, memory, qemu, trace};

/// The guest's memory, in MiB.
pub(crate) const GUEST_MIB: u64 = 256;

/// An unprivileged identity for the monitor.
const NOBODY: u32 = 65534;

/// What one place gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) ours: Sample,
    pub(crate) qemu: Sample,
}

/// One monitor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// System calls from exec to the first KVM_RUN; `None` where strace is missing or did not see it.
    pub(crate) calls_to_first_run: Option<u64>,
    /// KVM exits of all processors until the agent answered.
    pub(crate) kvm_exits: u64,
    /// Those that the monitor had to answer itself.
    pub(crate) user_exits: u64,
    /// Nanoseconds of processor time of all threads until then; instructions, under QEMU's instruction clock.
    pub(crate) processor_ns: u64,
    /// Anonymous memory that is not the guest's, in KiB.
    pub(crate) anonymous_kib: u64,
    /// The guest's RAM as far as it has been touched, in KiB.
    pub(crate) guest_kib: u64,
    /// Threads.
    pub(crate) threads: u64,
}

pub(crate) async fn measure(dist: &Dist) -> Result<Measured> {
    let mut ours = boot_ours(dist, &dist.monitor())
        .await
        .context("boot our monitor")?;
    let mut qemu = qemu::boot(dist, None)
        .await
        .context("boot QEMU's microvm")?;
    if which("strace") {
        ours.calls_to_first_run = trace_ours(dist).await.context("trace our monitor")?;
        qemu.calls_to_first_run = trace_qemu(dist).await.context("trace QEMU's microvm")?;
    }
    Ok(Measured { ours, qemu })
}

async fn boot_ours(dist: &Dist, program: &Path) -> Result<Sample> {
    let folder = tempfile::tempdir().context("make a run folder")?;
    let plan = LaunchPlan {
        program: program.to_owned(),
        run_folder: folder.path().to_owned(),
        cgroup: None,
        name: "bench".to_owned(),
        identity: Identity {
            uid: NOBODY,
            gid: NOBODY,
        },
        lifetime: Lifetime::WithLauncher,
        processors: Processors { boot: 1, max: 1 },
        memory_bytes: GUEST_MIB << 20,
        command_line: String::new(),
        kernel: Dist::open(&dist.kernel())?,
        guest_image: Some(Dist::open(&dist.guest_image())?),
        console: None,
        disks: Vec::new(),
        nics: Vec::new(),
        vfio: None,
        later_functions: 0,
        deadlines: Deadlines::scaled(deadlines::MONITOR_SCALE),
    };
    let (monitor, _running) = Monitor::launch(plan).await?;
    let pid = monitor.pid().context("learn the monitor's process id")?;
    let connector = Connector::Vsock {
        socket: monitor.vsock_path(),
    };
    let connected = Agent::connect(connector, deadlines::BOOT).await;
    let sample = sample(pid);
    monitor.stop(deadlines::STOP).await;
    connected?;
    sample
}

/// What there is to see of the only VM of this host, run by process `pid`, now.
pub(crate) fn sample(pid: u32) -> Result<Sample> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let (mut processor_ns, mut threads) = (0, 0);
    for entry in fs::read_dir(process.join("task"))? {
        let schedstat = read(entry?.path().join("schedstat"))?;
        let ran = schedstat
            .split_whitespace()
            .next()
            .and_then(|ran| ran.parse::<u64>().ok());
        processor_ns += ran.context("understand schedstat")?;
        threads += 1;
    }
    let anonymous = memory::of(&read(process.join("smaps"))?, GUEST_MIB << 10);
    let vm = the_only_vm()?;
    let counter = |name: &str| -> Result<u64> { Ok(read(vm.join(name))?.trim().parse()?) };
    let stat = |name: &str| counter(name).unwrap_or(0);
    Ok(Sample {
        calls_to_first_run: None,
        kvm_exits: counter("exits")?,
        user_exits: stat("io_exits") + stat("mmio_exits"),
        processor_ns,
        anonymous_kib: anonymous.own,
        guest_kib: anonymous.guest,
        threads,
    })
}

/// KVM exits of the only VM of this host until now.
pub(crate) fn exits() -> Result<u64> {
    let path = the_only_vm()?.join("exits");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim().parse()?)
}

/// KVM keeps a folder for each VM in debugfs, named process-descriptor.
fn the_only_vm() -> Result<PathBuf> {
    let root = Path::new("/sys/kernel/debug/kvm");
    let mut vms = fs::read_dir(root)
        .with_context(|| format!("read {}: is debugfs mounted?", root.display()))?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().contains('-'))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let vm = vms.next().context("find the VM's statistics")?;
    anyhow::ensure!(vms.next().is_none(), "more than one VM runs on this host");
    Ok(vm)
}

async fn trace_ours(dist: &Dist) -> Result<Option<u64>> {
    let folder = tempfile::tempdir()?;
    let (wrapper, output) = (folder.path().join("traced"), folder.path().join("trace"));
    let script = format!(
        "#!/bin/sh\nexec strace -D -f -qq -o {} {} \"$@\"\n",
        output.display(),
        dist.monitor().display()
    );
    write_script(&wrapper, &script)?;
    boot_ours(dist, &wrapper).await?;
    Ok(trace::count(&fs::read_to_string(&output)?, "cofferdam-vmm"))
}

async fn trace_qemu(dist: &Dist) -> Result<Option<u64>> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("trace");
    qemu::boot(dist, Some(&output)).await?;
    Ok(trace::count(&fs::read_to_string(&output)?, qemu::PROGRAM))
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
