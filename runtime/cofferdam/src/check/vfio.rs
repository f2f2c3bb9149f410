//! `cofferdam check --vfio`: each function of the host that VFIO has, or that is of a kind one gives to pods, with what keeps it from a
//! VM. Main type: [`Device`]. Below: `devices`, which reads and judges.
//!
//! It speaks of the host alone: which of them pods may have is the configuration's (`vfio.devices`), and the report says so.

use std::path::PathBuf;

use devices::{
    Function, Host,
    cdi::{self, Cdi},
    preflight::{Preflight, Space},
};
use serde::Serialize;

/// Memory of a small VM: devices need room besides it.
const SMALL_VM_BYTES: u64 = 7 << 30;

/// Classes of devices that one gives to pods, base and sub-class: VGA, 3D and other displays, and processing accelerators (PCI Code and
/// ID Assignment).
const CLASSES: [u32; 4] = [0x0300, 0x0302, 0x0380, 0x1200];

/// An NVSwitch is one of NVIDIA's other bridges.
const NVSWITCH: (u16, u32) = (0x10de, 0x0680);

/// What is said once for all.
pub(super) const FOR_PODS: &str = "This says what the host is ready for. A pod can have those that vfio.devices in the configuration names; see docs/gpu.md.";

/// The VFIO part of the report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether a pod can be given such a device by this build.
    attach: bool,
    devices: Vec<Device>,
    /// Functions and CDI files that can't be read, with the reason.
    unread: Vec<String>,
}

/// One function of the host.
#[derive(Debug, Serialize)]
struct Device {
    #[serde(flatten)]
    function: Function,
    usable: bool,
    problems: Vec<Reason>,
}

/// Why not.
#[derive(Debug, Serialize)]
struct Reason {
    found: String,
    advice: String,
}

impl Report {
    pub(super) fn of_this_host() -> anyhow::Result<Self> {
        let folders = cdi::FOLDERS.map(PathBuf::from);
        Self::collect(&Host::new("/"), &Cdi::load(&folders))
    }

    fn collect(host: &Host, cdi: &Cdi) -> anyhow::Result<Self> {
        let space = Space::of_vm(SMALL_VM_BYTES, host.phys_bits()?);
        let mut devices = Vec::new();
        let broken = cdi.broken().iter();
        let mut unread: Vec<_> = broken.map(|(_path, error)| model::chain(error)).collect();
        for address in host.functions()? {
            match host.function(address) {
                Ok(function) if is_relevant(&function) => devices.push(judge(function, &space)),
                Ok(_other) => {}
                Err(error) => unread.push(format!("{address}: {}", model::chain(&error))),
            }
        }
        Ok(Self {
            attach: true,
            devices,
            unread,
        })
    }

    /// As lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.devices.iter().flat_map(Device::lines).collect();
        if self.devices.is_empty() {
            lines.push("no GPU or other accelerator, and no device bound to vfio-pci".to_owned());
        }
        let unread = self.unread.iter();
        lines.extend(unread.map(|reason| format!("warning  not read       {reason}")));
        lines.push(FOR_PODS.to_owned());
        lines
    }
}

impl Device {
    fn lines(&self) -> Vec<String> {
        let Function {
            address,
            vendor,
            device,
            class,
            ..
        } = &self.function;
        let mark = if self.usable { "usable " } else { "not yet" };
        let driver = self.function.driver.as_deref().unwrap_or("none");
        let group = self.function.group.as_ref();
        let group = group.map_or("none".to_owned(), |group| group.number.to_string());
        let cdev = self.function.cdev.as_deref().unwrap_or("none");
        let node = self.function.numa_node;
        let node = node.map_or("unknown".to_owned(), |node| node.to_string());
        let mut lines = vec![format!(
            "{mark}  {address}   {vendor:04x}:{device:04x} class {class:06x}, driver {driver}, IOMMU group {group}, cdev {cdev}, NUMA node \
             {node}, BARs {}",
            bars(&self.function)
        )];
        for reason in &self.problems {
            lines.push(format!("                         {}", reason.found));
            lines.push(format!("                         → {}", reason.advice));
        }
        lines
    }
}

fn is_relevant(function: &Function) -> bool {
    let class = function.class >> 8;
    function.is_on_vfio() || CLASSES.contains(&class) || (function.vendor, class) == NVSWITCH
}

fn judge(function: Function, space: &Space) -> Device {
    let preflight = Preflight::of(&function, space);
    let problems = preflight.problems.iter().map(|problem| Reason {
        found: model::chain(problem),
        advice: problem.advice(),
    });
    Device {
        usable: preflight.is_usable(),
        problems: problems.collect(),
        function,
    }
}

fn bars(function: &Function) -> String {
    if function.bars.is_empty() {
        return "none".to_owned();
    }
    let sizes: Vec<_> = function.bars.iter().map(|bar| size(bar.size)).collect();
    sizes.join(" ")
}

/// A BAR's size is a power of two.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{}K", bytes.div_ceil(1 << 10)),
        0x10_0000..0x4000_0000 => format!("{}M", bytes >> 20),
        _ => format!("{}G", bytes >> 30),
    }
}

#[cfg(test)]
mod tests;
