//! A guest that drives a device of the host by itself, as far as a device goes: registers, interrupts, DMA. And what comes of a guest that has
//! its device reach outside of the guest's memory. The device is QEMU's edu, behind the test host's IOMMU; `drive-edu` is its driver.

use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::edu;
use images::Store;

use crate::Test;
use crate::bare_vm;
use crate::case::Case;
use crate::deadlines::{self, LOOK_AGAIN};
use crate::spare::{self, Spare};
use crate::vfio::{Given, run};

pub(crate) const TESTS: &[Test] = &[("dma_outside_of_the_guest_is_stopped", |case| {
    run(stopped(case))
})];

/// The host's address of the page lies behind all that the guest's device may reach, which begins at 0.
const LEAST_ADDRESS: u64 = 1 << 30;
const PAGE_BYTES: usize = 4096;
/// Pages to choose from.
const PAGES: usize = 4096;
const SECRET: u8 = b's';

async fn stopped(case: &Case) -> Result<()> {
    let Some(spare) = Spare::all(case, &spare::EDU)?.pop() else {
        return Ok(());
    };
    let memory = Memory::new()?;
    let group = spare.give_away()?;
    let given = Given::boot(case, &spare, &group).await?;
    let said = drive(case, &given, memory.physical).await;
    let said = given.vm.end(case, said).await?;

    let mut lines = said.lines();
    let mut line = || lines.next().unwrap_or_default();
    ensure!(line() == "registers work", "{said}");
    ensure!(line() == "10 interrupts", "{said}");
    ensure!(line() == "DMA inside works", "{said}");
    let outside = line();
    ensure!(outside.starts_with("outside reads "), "{said}");
    ensure!(!outside.contains("ssss"), "the guest read it: {said}");
    ensure!(line() == "DMA inside works still", "{said}");

    memory.is_unharmed()?;
    fault_is_told(case, &spare, memory.physical)?;
    // Nothing is wrong with the device.
    let given = Given::boot(case, &spare, &group).await?;
    let said = drive(case, &given, memory.physical).await;
    given.vm.end(case, said).await.map(drop)
}

async fn drive(case: &Case, given: &Given<'_>, outside: u64) -> Result<String> {
    let folder = tempfile::tempdir_in(case.folder())?;
    let store = Store::open(folder.path()).context("open a store")?;
    bare_vm::import_program(case, &store, "drive-edu")?;
    let root = given.vm.add_image(&store, "drive-edu").await?;
    let place = given.place.to_string();
    let outside = format!("{outside:#x}");
    let command = ["/bin/drive-edu", &place, &outside];
    given.vm.run_driver("driver", root, &command).await
}

/// The host's kernel names device and address.
fn fault_is_told(case: &Case, spare: &Spare, address: u64) -> Result<()> {
    let device = spare.address.trim_start_matches("0000:");
    let expected = format!("Request device [{device}] fault addr {address:#x}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    loop {
        let said = Command::new("dmesg").output().context("run dmesg")?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut lines = said.lines().filter(|line| line.contains(&expected));
        if lines.any(|line| line.contains("[DMA Write")) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "no {expected:?} in the kernel's log: {said}"
        );
        thread::park_timeout(LOOK_AGAIN);
    }
}

/// Memory of the host's, full of a secret, of which one page is aimed at.
struct Memory {
    bytes: Vec<u8>,
    page: usize,
    physical: u64,
}

impl Memory {
    fn new() -> Result<Self> {
        let bytes = vec![SECRET; PAGES * PAGE_BYTES];
        let start = bytes.as_ptr().addr();
        let first = start.next_multiple_of(PAGE_BYTES) - start;
        for page in (first..bytes.len() - PAGE_BYTES).step_by(PAGE_BYTES) {
            let physical = edu::physical(start + page)?;
            if physical >= LEAST_ADDRESS {
                return Ok(Self {
                    bytes,
                    page,
                    physical,
                });
            }
        }
        anyhow::bail!("no page of the test lies behind {LEAST_ADDRESS:#x}")
    }

    /// The page is where it was, and all is as it was.
    fn is_unharmed(&self) -> Result<()> {
        let physical = edu::physical(self.bytes.as_ptr().addr() + self.page)?;
        ensure!(physical == self.physical, "the page has moved");
        let harmed = self.bytes.iter().filter(|byte| **byte != SECRET).count();
        ensure!(harmed == 0, "{harmed} bytes of the host's memory changed");
        Ok(())
    }
}
