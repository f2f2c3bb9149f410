//! The disk of a test host that nothing of it uses, and that a VM may be given by VFIO. Main type: [`Spare`]. Only a test host has one: on a
//! real host the same disk might hold somebody's data.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::case::Case;
use crate::deadlines::{self, LOOK_AGAIN};
use crate::test_host;

const DEVICES: &str = "/sys/bus/pci/devices";
/// A virtio disk by virtio 1.0 (virtio 1.3, section 4.1.2.1).
const VENDOR: &str = "0x1af4";
const DEVICE: &str = "0x1042";

pub(crate) const CONTAINER: &str = "/dev/vfio/vfio";

/// The disk, by its address on the host. The host's own driver has it again when this is dropped.
pub(crate) struct Spare {
    pub(crate) address: String,
    pub(crate) bytes: u64,
}

impl Spare {
    /// The disk of this test host; on another host nothing, which is said.
    pub(crate) fn find(case: &Case) -> Result<Option<Self>> {
        if !test_host::is_inside() {
            eprintln!("SKIPPED: this is no test host, whose spare disk a VM could be given");
            return Ok(None);
        }
        for module in ["virtio_blk", "vfio-pci"] {
            let loaded = Command::new("modprobe").arg(module).status();
            let loaded = loaded.context("run modprobe")?;
            ensure!(loaded.success(), "modprobe {module}: {loaded}");
        }
        for entry in fs::read_dir(DEVICES).context("list the PCI functions")? {
            let entry = entry?;
            let says = |name: &str| fs::read_to_string(entry.path().join(name));
            if says("vendor")?.trim() == VENDOR && says("device")?.trim() == DEVICE {
                let address = entry.file_name().to_string_lossy().into_owned();
                let mut spare = Self { address, bytes: 0 };
                spare.take_back()?;
                spare.bytes = File::open(spare.node(case)?)?.seek(SeekFrom::End(0))?;
                return Ok(Some(spare));
            }
        }
        anyhow::bail!("the test host has no spare disk: is `testbed` older than the tests?")
    }

    fn folder(&self) -> PathBuf {
        Path::new(DEVICES).join(&self.address)
    }

    /// The disk as the host's own driver shows it.
    fn node(&self, case: &Case) -> Result<PathBuf> {
        let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
        loop {
            let entries = fs::read_dir(self.folder())?.flatten();
            let block = entries.map(|entry| entry.path().join("block"));
            let disk = block
                .filter_map(|block| fs::read_dir(block).ok()?.next()?.ok())
                .next();
            if let Some(disk) = disk {
                return Ok(Path::new("/dev").join(disk.file_name()));
            }
            ensure!(Instant::now() < deadline, "the spare disk has no node");
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Writes at an offset, past the host's cache.
    pub(crate) fn write(&self, case: &Case, offset: u64, data: &[u8]) -> Result<()> {
        let mut disk = File::options().write(true).open(self.node(case)?)?;
        disk.seek(SeekFrom::Start(offset))?;
        disk.write_all(data)?;
        disk.sync_all().context("write the spare disk")
    }

    /// Reads from an offset on.
    pub(crate) fn read(&self, case: &Case, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut disk = File::open(self.node(case)?)?;
        disk.seek(SeekFrom::Start(offset))?;
        let mut data = vec![0; length];
        disk.read_exact(&mut data).context("read the spare disk")?;
        Ok(data)
    }

    /// Binds it to vfio-pci; gives the node of its IOMMU group.
    pub(crate) fn give_away(&self) -> Result<PathBuf> {
        self.bind("vfio-pci")?;
        let group = fs::read_link(self.folder().join("iommu_group")).context("find its group")?;
        let group = group.file_name().context("a group has a number")?;
        Ok(Path::new("/dev/vfio").join(group))
    }

    /// Binds it to the host's own driver.
    pub(crate) fn take_back(&self) -> Result<()> {
        self.bind("virtio-pci")
    }

    fn bind(&self, driver: &str) -> Result<()> {
        let folder = self.folder();
        fs::write(folder.join("driver_override"), driver).context("say which driver")?;
        let bound = folder.join("driver");
        let now = fs::read_link(&bound).ok();
        if now.is_some_and(|now| now.ends_with(driver)) {
            return Ok(());
        }
        if bound.exists() {
            fs::write(bound.join("unbind"), &self.address).context("unbind it")?;
        }
        fs::write("/sys/bus/pci/drivers_probe", &self.address).context("bind it")?;
        let now = fs::read_link(&bound).context("no driver took it")?;
        ensure!(now.ends_with(driver), "{now:?} took it, not {driver}");
        Ok(())
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Err(error) = self.take_back() {
            eprintln!("the spare disk stays with VFIO: {error:#}");
        }
    }
}
