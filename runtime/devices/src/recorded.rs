//! For tests: a host's sysfs, /dev and /proc in a temporary folder, written as kernels have them. Main type: [`Recorded`].

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{address::PciAddress, sysfs::Host};

/// Memory of 64 bits, prefetchable.
pub(crate) const PREFETCHABLE: u64 = 0x14_220c;

pub(crate) struct Recorded {
    pub(crate) root: TempDir,
}

/// A function as it is to be recorded; a GPU on vfio-pci, unless changed.
#[derive(Debug, Clone)]
pub(crate) struct Slot<'a> {
    pub(crate) address: &'a str,
    pub(crate) ids: (u16, u16),
    pub(crate) class: u32,
    pub(crate) driver: &'a str,
    pub(crate) group: Option<u32>,
    pub(crate) cdev: Option<(&'a str, &'a str)>,
    pub(crate) bars: &'a [(u64, u64)],
}

/// A GPU in a group of its own, with a cdev.
pub(crate) fn gpu<'a>(address: &'a str, group: u32, cdev: &'a str) -> Slot<'a> {
    Slot {
        address,
        ids: (0x10de, 0x2901),
        class: 0x030200,
        driver: "vfio-pci",
        group: Some(group),
        cdev: Some((cdev, "511:0")),
        bars: &[
            (64 << 20, PREFETCHABLE),
            (256 << 30, PREFETCHABLE),
            (32 << 20, PREFETCHABLE),
        ],
    }
}

impl Recorded {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in [
            "sys/bus/pci/devices",
            "sys/bus/pci/drivers",
            "sys/kernel/iommu_groups",
            "dev/vfio/devices",
            "proc",
        ] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let tree = Self { root };
        tree.write(
            "proc/cpuinfo",
            "processor\t: 0\naddress sizes\t: 46 bits physical, 57 bits virtual\n",
        );
        tree
    }

    pub(crate) fn with(slots: &[Slot<'_>]) -> Self {
        let tree = Self::new();
        slots.iter().for_each(|slot| tree.add(slot));
        tree
    }

    pub(crate) fn host(&self) -> Host {
        Host::new(self.root.path())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn add(&self, slot: &Slot<'_>) {
        let Slot { address, class, .. } = slot;
        let folder = format!("sys/devices/pci0000:00/{address}");
        let file = |name: &str, text: String| self.write(&format!("{folder}/{name}"), text);
        file("vendor", format!("{:#06x}\n", slot.ids.0));
        file("device", format!("{:#06x}\n", slot.ids.1));
        file("class", format!("{class:#08x}\n"));
        file("numa_node", "1\n".to_owned());
        file("resource", resource(slot.bars));
        self.write(&format!("{folder}/config"), slot.ids.0.to_le_bytes());
        link(
            &self.path(&format!("sys/bus/pci/devices/{address}")),
            &self.path(&folder),
        );
        if !slot.driver.is_empty() {
            let driver = self.path(&format!("sys/bus/pci/drivers/{}", slot.driver));
            fs::create_dir_all(&driver).unwrap();
            link(&self.path(&format!("{folder}/driver")), &driver);
        }
        if let Some(group) = slot.group {
            self.group(&folder, slot, group);
        }
        if let Some((name, numbers)) = slot.cdev {
            self.write(&format!("{folder}/vfio-dev/{name}/dev"), numbers);
            link(
                &self.path(&format!("{folder}/vfio-dev/{name}/device")),
                Path::new(&format!("../../../{address}")),
            );
            link(
                &self.path(&format!("sys/class/vfio-dev/{name}")),
                &self.path(&format!("{folder}/vfio-dev/{name}")),
            );
            self.write(&format!("dev/vfio/devices/{name}"), "");
        }
    }

    fn group(&self, folder: &str, slot: &Slot<'_>, group: u32) {
        let iommu = format!("sys/kernel/iommu_groups/{group}");
        link(
            &self.path(&format!("{iommu}/devices/{}", slot.address)),
            &self.path(folder),
        );
        link(
            &self.path(&format!("{folder}/iommu_group")),
            &self.path(&iommu),
        );
        if slot.driver == "vfio-pci" {
            self.write(&format!("dev/vfio/{group}"), "");
        }
    }
}

pub(crate) fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn link(path: &Path, target: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// Six BARs and a ROM; one of 64 bits takes two lines.
fn resource(bars: &[(u64, u64)]) -> String {
    let mut lines = Vec::new();
    for (size, flags) in bars {
        let start = 16 * size;
        lines.push((start, start + size - 1, *flags));
        if flags & 0x10_0000 != 0 {
            lines.push((0, 0, 0));
        }
    }
    lines.resize(7, (0, 0, 0));
    lines
        .iter()
        .map(|(start, end, flags)| format!("{start:#018x} {end:#018x} {flags:#018x}\n"))
        .collect()
}
