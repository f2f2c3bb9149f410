//! A disk of a running VM comes and goes: the guest lets go of it, the monitor takes it off the bus, and a later one in its place
//! is read for what it is. The monitor and the agent are driven by their clients, for no command does this yet.
//!
//! Main type: [`Vm`].

use std::fs;
use std::thread;
use std::time::Instant;

use agent_client::AgentError;
use anyhow::{Context, Result, ensure};
use images::Store;
use vm_client::{PciAddress, RequestError};

use crate::Test;
use crate::bare_vm::{self, BareVm};
use crate::case::Case;
use crate::deadlines::LOOK_AGAIN;

pub(crate) const TESTS: &[Test] = &[
    ("disk_removed_makes_room_for_another", |case| {
        in_vm(case, one_after_the_other)
    }),
    ("disk_removed_leaves_its_neighbour_alone", |case| {
        in_vm(case, neighbours)
    }),
];

const HELLO: &str = "hello";

/// A VM without a disk, and two images.
struct Vm {
    bare: BareVm,
    store: Store,
}

/// What a monitor has open and running.
#[derive(Debug, PartialEq, Eq)]
struct Resources {
    descriptors: usize,
    threads: usize,
}

fn in_vm(case: &Case, test: impl AsyncFnOnce(&Vm) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(async {
        let vm = Vm::boot(case).await?;
        let result = test(&vm).await;
        vm.bare.end(case, result).await
    })
}

async fn one_after_the_other(vm: &Vm) -> Result<()> {
    let before = vm.resources()?;
    for name in ["first", "second", "first"] {
        let address = vm.add(name).await?;
        vm.expect_to_read(name, address).await?;
        vm.remove(address).await?;
        ensure!(
            vm.bare.monitor.status().await?.disks.is_empty(),
            "no disk is left"
        );
        vm.wait_for(&before)?;
    }
    Ok(())
}

async fn neighbours(vm: &Vm) -> Result<()> {
    let first = vm.add("first").await?;
    let second = vm.add("second").await?;
    ensure!(first != second, "two disks have two places");
    vm.expect_to_read("first", first).await?;
    vm.remove(first).await?;
    vm.expect_to_read("second", second).await?;
    let again = vm.add("first").await?;
    ensure!(again != second, "{again} is taken");
    vm.expect_to_read("first", again).await?;
    vm.expect_to_read("second", second).await
}

impl Vm {
    async fn boot(case: &Case) -> Result<Vm> {
        let store = Store::open(&case.folder().join("store")).context("open a store")?;
        for name in ["first", "second"] {
            bare_vm::import(case, &store, name, (HELLO, name))?;
        }
        let plan = bare_vm::launch_plan(case, "disks", None)?;
        let bare = BareVm::boot(case, plan).await?;
        Ok(Vm { bare, store })
    }

    /// Puts the image's disk on the bus, and has the guest find it.
    async fn add(&self, name: &str) -> Result<PciAddress> {
        let address = self.bare.add_image(&self.store, name).await?;
        let place = address.to_string();
        let node = self.bare.agent.add_device(&place, self.bare.step()).await?;
        let node = node.context("it is a disk, and has a device node")?;
        ensure!(node.starts_with("/dev/vd"), "{node} is no virtio disk");
        Ok(address)
    }

    /// Takes the disk from the guest, then from the bus; neither has it a second time.
    async fn remove(&self, address: PciAddress) -> Result<()> {
        let place = address.to_string();
        self.bare
            .agent
            .remove_device(&place, self.bare.step())
            .await?;
        let again = self
            .bare
            .agent
            .remove_device(&place, self.bare.step())
            .await;
        ensure!(
            matches!(again, Err(AgentError::NotFound { .. })),
            "the guest still has {place}: {again:?}"
        );
        self.bare.monitor.remove_device(address).await?;
        let again = self.bare.monitor.remove_device(address).await;
        ensure!(
            matches!(&again, Err(RequestError::Refused { reason }) if reason.contains(&place)),
            "the monitor still has {place}: {again:?}"
        );
        Ok(())
    }

    /// Mounts the disk as a container's root, reads it, unmounts it.
    async fn expect_to_read(&self, name: &str, address: PciAddress) -> Result<()> {
        let id = format!("reads-{name}");
        let said = self.bare.run(&id, address, &["cat", HELLO], Vec::new());
        let said = said.await?;
        ensure!(said == name, "{said:?} was read at {address}, not {name:?}");
        Ok(())
    }

    fn resources(&self) -> Result<Resources> {
        let pid = self
            .bare
            .monitor
            .pid()
            .context("the monitor has a process id")?;
        let count = |what: &str| -> Result<usize> {
            let path = format!("/proc/{pid}/{what}");
            let entries = fs::read_dir(&path).with_context(|| format!("read {path}"))?;
            Ok(entries.count())
        };
        Ok(Resources {
            descriptors: count("fd")?,
            threads: count("task")?,
        })
    }

    /// The thread of a disk that is gone may still be ending.
    fn wait_for(&self, expected: &Resources) -> Result<()> {
        let deadline = Instant::now() + self.bare.step();
        loop {
            let now = self.resources()?;
            if now == *expected {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the monitor had {expected:?} without a disk, and has {now:?}"
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}
