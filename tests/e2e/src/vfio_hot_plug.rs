//! A disk of the host that comes to a running VM and goes again, fifty times: whatever was opened, mapped and pinned for it goes with it, and
//! the host has its disk back. The monitor and the agent are driven by their clients. The device is a disk of NVMe of the test host.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Instant;

use agent_client::ContainerDisk;
use anyhow::{Context, Result, ensure};
use images::Store;
use vm_client::{FunctionPlan, PciAddress};

use crate::Test;
use crate::bare_vm::{self, BareVm};
use crate::case::Case;
use crate::deadlines::{self, LOOK_AGAIN};
use crate::spare::{self, CONTAINER, Spare};
use crate::vfio::{Given, run};

pub(crate) const TESTS: &[Test] = &[("disk_comes_and_goes_fifty_times", |case| {
    run(comes_and_goes(case))
})];

const ROUNDS: usize = 50;
/// In which rounds the guest has its driver work on it; the others are the monitor's alone.
const DRIVEN: usize = 10;
const KNOWN: &[u8] = b"written by the host";
const ANSWER: &str = "written by the guest in round";
const ANSWER_AT: u64 = 4 << 20;
const BLOCK: u64 = 4096;

async fn comes_and_goes(case: &Case) -> Result<()> {
    let Some(spare) = Spare::all(case, &spare::NVME)?.pop() else {
        return Ok(());
    };
    spare.write(case, 0, KNOWN)?;
    let group = spare.give_away()?;
    let mut plan = bare_vm::launch_plan(case, "hot-plug", None)?;
    plan.later_functions = 1;
    let memory = plan.memory_bytes;
    let vm = BareVm::boot(case, plan).await?;
    let result = rounds(case, &vm, &spare, (&group, memory)).await;
    vm.end(case, result).await?;

    spare.take_back()?;
    let last = format!("{ANSWER} {ROUNDS}");
    let answer = spare.read(case, ANSWER_AT, last.len())?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure!(answer == last, "the disk has {answer:?}");
    // And another VM has it from its start.
    spare.give_away()?;
    let given = Given::boot(case, &spare, &group).await?;
    let store = Store::open(&case.folder().join("last")).context("open a store")?;
    let said = read(case, &given.vm, &store, (given.place, ROUNDS + 1)).await;
    given.vm.end(case, said).await
}

async fn rounds(
    case: &Case,
    vm: &BareVm,
    spare: &Spare,
    (group, memory): (&Path, u64),
) -> Result<()> {
    let store = Store::open(&case.folder().join("store")).context("open a store")?;
    // The first time some things are made that stay, such as the agent's.
    round(case, vm, spare, (group, &store, DRIVEN)).await?;
    let before = Held::of(vm)?;
    ensure!(before.locked_kib == 0, "{before:?}");
    for number in 1..=ROUNDS {
        let during = round(case, vm, spare, (group, &store, number)).await;
        let during = during.with_context(|| format!("round {number}"))?;
        ensure!(during.locked_kib * 1024 >= memory, "{during:?}");
        ensure!(
            during.descriptors.len() > before.descriptors.len(),
            "{during:?}"
        );
        settles(case, vm, &before).with_context(|| format!("after round {number}"))?;
    }
    Ok(())
}

/// A thread of a disk that is gone ends a moment later.
fn settles(case: &Case, vm: &BareVm, before: &Held) -> Result<()> {
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    loop {
        let after = Held::of(vm)?;
        if after == *before {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{after:?} was {before:?}");
        thread::park_timeout(LOOK_AGAIN);
    }
}

/// Gives the disk to the VM and takes it away. What the monitor held while it was there.
async fn round(
    case: &Case,
    vm: &BareVm,
    spare: &Spare,
    (group, store, number): (&Path, &Store, usize),
) -> Result<Held> {
    let open = |path: &Path| {
        let opened = File::options().read(true).write(true).open(path);
        opened.with_context(|| format!("open {path:?}"))
    };
    let plan = FunctionPlan {
        host_address: spare.address.parse()?,
        container: open(Path::new(CONTAINER))?,
        group: open(group)?,
    };
    let place = vm.monitor.add_function(plan).await?;
    ensure!(place.bus > 0, "{place} is behind no root port");
    let during = Held::of(vm)?;
    if number.is_multiple_of(ROUNDS / DRIVEN) {
        read(case, vm, store, (place, number)).await?;
        vm.agent
            .remove_device(&place.to_string(), vm.step())
            .await?;
    }
    vm.monitor.remove_device(place).await?;
    Ok(during)
}

/// The guest reads what the host wrote, and writes in which round.
async fn read(
    case: &Case,
    vm: &BareVm,
    store: &Store,
    (place, number): (PciAddress, usize),
) -> Result<()> {
    let name = format!("worker-{number}");
    if store.resolve(&name).is_err() {
        bare_vm::import(case, store, &name, ("read-me", "works on a disk"))?;
    }
    let root = vm.add_image(store, &name).await?;
    let script = format!(
        "set -e; busybox head -c {} /dev/given; printf '{ANSWER} {number}' | \
         busybox dd of=/dev/given bs={BLOCK} seek={} conv=fsync 2>/dev/null",
        KNOWN.len(),
        ANSWER_AT / BLOCK
    );
    let disk = ContainerDisk {
        pci_address: place.to_string(),
        path: "/dev/given".to_owned(),
        access: "rwm".to_owned(),
        mode: 0o660,
        uid: 0,
        gid: 0,
    };
    let said = vm
        .run(&name, root, &["sh", "-c", &script], vec![disk])
        .await?;
    ensure!(said.as_bytes() == KNOWN, "the guest read {said:?}");
    vm.agent.remove_device(&root.to_string(), vm.step()).await?;
    vm.monitor.remove_device(root).await?;
    Ok(())
}

/// What a monitor holds that could be left behind.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// How many of what.
    descriptors: Vec<String>,
    /// Pinned for DMA.
    locked_kib: u64,
    /// Of files: pages of devices are such. What the allocator has changes by itself.
    mappings: BTreeMap<String, usize>,
    /// Of the whole host.
    vfio_interrupts: usize,
}

impl Held {
    fn of(vm: &BareVm) -> Result<Self> {
        let pid = vm.monitor.pid().context("the monitor has a pid")?;
        let process = Path::new("/proc").join(pid.to_string());
        let mut descriptors = Vec::new();
        for entry in fs::read_dir(process.join("fd")).context("list the descriptors")? {
            // One that is closed meanwhile is none.
            let target = fs::read_link(entry?.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            // Connections of the agent's client come and go.
            if !target.starts_with("socket:") {
                descriptors.push(target);
            }
        }
        descriptors.sort();
        let status = fs::read_to_string(process.join("status")).context("read the status")?;
        let mut lines = status.lines();
        let locked = lines.find_map(|line| line.strip_prefix("VmLck:"));
        let locked = locked.and_then(|text| text.split_whitespace().next());
        let maps = fs::read_to_string(process.join("maps")).context("read the mappings")?;
        let mut mappings = BTreeMap::new();
        for name in maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
        {
            *mappings.entry(name.to_owned()).or_default() += 1;
        }
        let interrupts = fs::read_to_string("/proc/interrupts").context("read the interrupts")?;
        let vfio = interrupts.lines().filter(|line| line.contains("vfio"));
        Ok(Self {
            descriptors,
            locked_kib: locked.context("the status has VmLck")?.parse()?,
            mappings,
            vfio_interrupts: vfio.count(),
        })
    }
}
