//! A function of the host is given to a VM by VFIO: the guest works on the device itself, and the host has it back, with all that the guest
//! did to it. The monitor and the agent are driven by their clients. The device is the test host's spare disk, a virtio disk behind an
//! IOMMU: interrupts by MSI-X, registers mapped, DMA both ways.
//!
//! Main type: [`Given`].

use std::fs::{self, File};
use std::path::Path;

use agent_client::ContainerDisk;
use anyhow::{Context, Result, ensure};
use images::Store;
use vm_client::{Monitor, PciAddress, VfioInterface, VfioPlan};

use crate::Test;
use crate::bare_vm::{self, BareVm};
use crate::case::Case;
use crate::spare::{CONTAINER, Spare};
use crate::vfio_nodes::{self, IOMMUFD};

pub(crate) const TESTS: &[Test] = &[
    ("guest_reads_and_writes_a_disk_of_the_host", |case| {
        run(reads_and_writes(case, VfioInterface::Type1))
    }),
    ("guest_reads_and_writes_a_disk_by_iommufd", |case| {
        run(reads_and_writes(case, VfioInterface::Iommufd))
    }),
    ("function_that_can_not_be_given_is_refused", |case| {
        run(refused(case))
    }),
    ("function_that_iommufd_does_not_give_is_refused", |case| {
        run(refused_by_iommufd(case))
    }),
];

const BLOCK: usize = 4096;
/// Where the guest writes what the host reads afterwards.
const ANSWER_AT: u64 = 4 << 20;
const ANSWER: &str = "written by the guest";

/// A VM that has a function of the host.
pub(crate) struct Given<'a> {
    case: &'a Case,
    pub(crate) vm: BareVm,
    /// Where the guest sees it.
    pub(crate) place: PciAddress,
}

pub(crate) fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(test)
}

/// Twice: a device that was given away once can be given away again.
async fn reads_and_writes(case: &Case, interface: VfioInterface) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    if interface == VfioInterface::Iommufd && !vfio_nodes::has_iommufd()? {
        return Ok(());
    }
    for round in 0..2_u8 {
        let known: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
        let known: Vec<u8> = known.iter().map(|byte| byte ^ round).collect();
        spare.write(case, 0, &known)?;
        spare.write(case, ANSWER_AT, &[0; BLOCK])?;
        let expected = sum(case, &spare)?;

        let group = spare.give_away()?;
        let node = match interface {
            VfioInterface::Type1 => group,
            VfioInterface::Iommufd => vfio_nodes::cdev(&spare.address)?,
        };
        let given = Given::boot(case, &spare, &node).await?;
        let said = given.work(round).await;
        let said = given.vm.end(case, said).await?;
        ensure!(
            said.trim() == expected,
            "the guest read {said:?}, and the host wrote {expected:?}"
        );

        spare.take_back()?;
        let answer = spare.read(case, ANSWER_AT, ANSWER.len())?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer == ANSWER, "the disk has {answer:?}");
    }
    Ok(())
}

/// Of the whole disk, as the guest's `md5sum` says it.
fn sum(case: &Case, spare: &Spare) -> Result<String> {
    let file = case.folder().join("content");
    let length = usize::try_from(spare.bytes)?;
    fs::write(&file, spare.read(case, 0, length)?)?;
    let said = std::process::Command::new("md5sum").arg(&file).output()?;
    let said = String::from_utf8(said.stdout)?;
    let sum = said.split_whitespace().next();
    Ok(sum.context("md5sum says a sum")?.to_owned())
}

/// The reason reaches the launcher, and no monitor stays.
async fn refused(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    let group = spare.give_away()?;
    let (null, container) = (Path::new("/dev/null"), Path::new(CONTAINER));
    let elsewhere = "0000:00:00.0";
    for (container, group, address, expected) in [
        (null, &*group, &*spare.address, "container"),
        (container, null, &spare.address, "group"),
        (container, &group, elsewhere, elsewhere),
    ] {
        let plan = plan(VfioInterface::Type1, [container, group], address)?;
        refuse(case, plan, expected).await?;
    }
    Ok(())
}

/// The same by iommufd, where a function that another has already is found out by the monitor.
async fn refused_by_iommufd(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    if !vfio_nodes::has_iommufd()? {
        return Ok(());
    }
    spare.give_away()?;
    let cdev = vfio_nodes::cdev(&spare.address)?;
    let (null, iommufd) = (Path::new("/dev/null"), Path::new(IOMMUFD));
    let plan = |domain, node| plan(VfioInterface::Iommufd, [domain, node], &spare.address);
    refuse(case, plan(null, &cdev)?, "iommufd").await?;
    refuse(case, plan(iommufd, null)?, "cdev").await?;

    let given = Given::boot(case, &spare, &cdev).await?;
    let first = case.folder().join("vm");
    let kept = case.folder().join("first-vm");
    fs::rename(&first, &kept)?;
    let launched = Monitor::launch(bare_vm::launch_plan(
        case,
        "second",
        Some(plan(iommufd, &cdev)?),
    )?)
    .await;
    let error = launched.err().context("two VMs have one function");
    fs::remove_dir_all(&first)?;
    fs::rename(&kept, &first)?;
    let error = given.vm.end(case, error).await?.to_string();
    ensure!(
        error.contains(&spare.address) && error.contains("another one has it"),
        "{error:?}"
    );
    case.no_monitor()
}

/// A function, by the nodes of the whole interface and of its own.
fn plan(interface: VfioInterface, [domain, node]: [&Path; 2], address: &str) -> Result<VfioPlan> {
    let open = |path: &Path| {
        let opened = File::options().read(true).write(true).open(path);
        opened.with_context(|| format!("open {path:?}"))
    };
    Ok(VfioPlan {
        interface,
        domain: open(domain)?,
        nodes: vec![open(node)?],
        functions: vec![(address.parse()?, 0)],
    })
}

async fn refuse(case: &Case, vfio: VfioPlan, expected: &str) -> Result<()> {
    let launched = Monitor::launch(bare_vm::launch_plan(case, "vfio", Some(vfio))?).await;
    let error = launched.err().context("it was launched")?.to_string();
    ensure!(
        error.contains(expected),
        "{error:?} does not name {expected:?}"
    );
    case.no_monitor()?;
    fs::remove_dir_all(case.folder().join("vm")).context("remove the run folder")
}

impl<'a> Given<'a> {
    /// By its group's node, or by its own.
    pub(crate) async fn boot(case: &'a Case, spare: &Spare, node: &Path) -> Result<Self> {
        let host_address: PciAddress = spare.address.parse()?;
        let (interface, domain) = match vfio_nodes::is_cdev(node) {
            true => (VfioInterface::Iommufd, IOMMUFD),
            false => (VfioInterface::Type1, CONTAINER),
        };
        let vfio = plan(interface, [Path::new(domain), node], &spare.address)?;
        let plan = bare_vm::launch_plan(case, "vfio", Some(vfio))?;
        let vm = BareVm::boot(case, plan).await?;
        let status = vm.monitor.status().await?;
        let place = status.vfio.get(&host_address).copied();
        ensure!(
            place.is_none_or(|place| place.bus > 0),
            "{place:?} is behind no root port"
        );
        Ok(Self {
            case,
            vm,
            place: place.context("the monitor says where the guest sees it")?,
        })
    }

    /// A container has the disk: it reads all of it, and then writes. What it said.
    pub(crate) async fn work(&self, round: u8) -> Result<String> {
        let store = self.case.folder().join(format!("store-{round}"));
        let store = Store::open(&store).context("open a store")?;
        let name = format!("worker-{round}");
        bare_vm::import(self.case, &store, &name, ("read-me", "works on a disk"))?;
        let root = self.vm.add_image(&store, &name).await?;
        let seek = ANSWER_AT / BLOCK as u64;
        let script = format!(
            "set -e; busybox md5sum /dev/given | busybox cut -d' ' -f1; \
             printf '{ANSWER}' | busybox dd of=/dev/given bs={BLOCK} seek={seek} conv=fsync 2>/dev/null"
        );
        let disk = ContainerDisk {
            pci_address: self.place.to_string(),
            path: "/dev/given".to_owned(),
            access: "rwm".to_owned(),
            mode: 0o660,
            uid: 0,
            gid: 0,
        };
        let command = ["sh", "-c", &script];
        self.vm.run(&name, root, &command, vec![disk]).await
    }
}
