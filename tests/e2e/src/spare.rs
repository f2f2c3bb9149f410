//! Devices of a test host that nothing of it uses, and that a VM may be given by VFIO. Main type: [`Spare`]. Only a test host has them: on a
//! real host the same disk might hold somebody's data.

use std::fmt;
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
pub(crate) const CONTAINER: &str = "/dev/vfio/vfio";

/// What kind of device, as PCI has it, and who works with it on the host.
#[derive(Debug)]
pub(crate) struct Kind {
    vendor: &'static str,
    device: &'static str,
    /// The module that has the driver, and the driver.
    driver: Option<(&'static str, &'static str)>,
}

/// A virtio disk by virtio 1.0 (virtio 1.3, section 4.1.2.1).
pub(crate) const VIRTIO: Kind = Kind {
    vendor: "0x1af4",
    device: "0x1042",
    driver: Some(("virtio_blk", "virtio-pci")),
};

/// QEMU's disk of NVMe.
pub(crate) const NVME: Kind = Kind {
    vendor: "0x1b36",
    device: "0x0010",
    driver: Some(("nvme", "nvme")),
};

/// QEMU's device for learners, for which no kernel has a driver.
pub(crate) const EDU: Kind = Kind {
    vendor: "0x1234",
    device: "0x11e8",
    driver: None,
};

/// One device, by its address on the host. The host's own driver has it again when this is dropped.
pub(crate) struct Spare {
    kind: &'static Kind,
    pub(crate) address: String,
    /// Of a disk.
    pub(crate) bytes: u64,
}

impl Spare {
    /// The virtio disk of this test host; on another host nothing, which is said.
    pub(crate) fn find(case: &Case) -> Result<Option<Self>> {
        Ok(Self::all(case, &VIRTIO)?.pop())
    }

    /// All devices of a kind, at least one; on a host that is no test host none, which is said.
    pub(crate) fn all(case: &Case, kind: &'static Kind) -> Result<Vec<Self>> {
        if !test_host::is_inside() {
            eprintln!("SKIPPED: this is no test host, whose spare devices a VM could be given");
            return Ok(Vec::new());
        }
        let of_host = kind.driver.map(|(module, _)| module);
        for module in of_host.into_iter().chain(["vfio-pci"]) {
            let loaded = Command::new("modprobe").arg(module).status();
            let loaded = loaded.context("run modprobe")?;
            ensure!(loaded.success(), "modprobe {module}: {loaded}");
        }
        let mut all = Vec::new();
        for entry in fs::read_dir(DEVICES).context("list the PCI functions")? {
            let entry = entry?;
            let says = |name: &str| fs::read_to_string(entry.path().join(name));
            if says("vendor")?.trim() == kind.vendor && says("device")?.trim() == kind.device {
                let address = entry.file_name().to_string_lossy().into_owned();
                all.push(Self::new(case, kind, address)?);
            }
        }
        ensure!(
            !all.is_empty(),
            "the test host has no {kind:?}: is `testbed` older than the tests?"
        );
        all.sort_by(|one, other| one.address.cmp(&other.address));
        Ok(all)
    }

    fn new(case: &Case, kind: &'static Kind, address: String) -> Result<Self> {
        let mut spare = Self {
            kind,
            address,
            bytes: 0,
        };
        spare.take_back()?;
        if kind.driver.is_some() {
            spare.bytes = File::open(spare.node(case)?)?.seek(SeekFrom::End(0))?;
        }
        Ok(spare)
    }

    fn folder(&self) -> PathBuf {
        Path::new(DEVICES).join(&self.address)
    }

    /// The disk as the host's own driver shows it.
    fn node(&self, case: &Case) -> Result<PathBuf> {
        let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
        loop {
            let mut disks = fs::read_dir("/sys/block")?.flatten();
            if let Some(disk) = disks.find(|disk| self.has(&disk.path())) {
                return Ok(Path::new("/dev").join(disk.file_name()));
            }
            ensure!(Instant::now() < deadline, "{self} has no node");
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Whether a folder of the kernel's is below the device's.
    fn has(&self, folder: &Path) -> bool {
        let device = fs::canonicalize(folder).unwrap_or_default();
        let mut parts = device.components();
        parts.any(|part| part.as_os_str() == &*self.address)
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

    /// Binds it to the host's own driver, if there is one.
    pub(crate) fn take_back(&self) -> Result<()> {
        match self.kind.driver {
            Some((_, driver)) => self.bind(driver),
            None => self.unbind(),
        }
    }

    fn bind(&self, driver: &str) -> Result<()> {
        let bound = self.folder().join("driver");
        let now = fs::read_link(&bound).ok();
        if now.is_some_and(|now| now.ends_with(driver)) {
            return Ok(());
        }
        self.unbind()?;
        fs::write(self.folder().join("driver_override"), driver).context("say which driver")?;
        fs::write("/sys/bus/pci/drivers_probe", &self.address).context("bind it")?;
        let now = fs::read_link(&bound).context("no driver took it")?;
        ensure!(now.ends_with(driver), "{now:?} took it, not {driver}");
        Ok(())
    }

    fn unbind(&self) -> Result<()> {
        let bound = self.folder().join("driver");
        if bound.exists() {
            fs::write(bound.join("unbind"), &self.address).context("unbind it")?;
        }
        // An empty line is no driver in particular.
        fs::write(self.folder().join("driver_override"), "\n").context("say no driver")
    }
}

impl fmt::Display for Spare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the spare device {}", self.address)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Err(error) = self.take_back() {
            eprintln!("{self} stays with VFIO: {error:#}");
        }
    }
}
