//! Whether a function could be given to a VM as the host is now, and if not, why and what to do. Main types: [`Problem`], one
//! reason; [`Preflight`], the verdict on one function. Below: `sysfs`, `placement`. Above: the program's `check`; in time the start of
//! a pod.
//!
//! All reasons are told at once, each with the function's address and driver: who mends one should not find the next by trying.

use std::{fmt, ops::Range};

use model::Fault;

use crate::{
    address::PciAddress,
    placement::{self, Demand, PlacementError, Windows},
    sysfs::{Function, Member},
};

/// Drivers that leave a member of a group alone, so that VFIO may have the others: they do no DMA (Linux: `driver_managed_dma`).
const HARMLESS: [&str; 2] = ["pcieport", "pci-stub"];

/// The machine's window for BARs of 32 bits; most RAM that lies below it, and where the rest goes on (crate `machine`).
const LOW_WINDOW: Range<u64> = 0xc000_0000..0xe000_0000;
const LOW_RAM: u64 = 3 << 30;
const RAM_ABOVE: u64 = 4 << 30;

/// What page tables of four levels below a guest reach, however many bits the processor has.
const MOST_BITS: u8 = 48;

/// What a VM leaves for devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Window below 4 GiB.
    pub low: Range<u64>,
    /// First address above RAM.
    pub ram_end: u64,
    /// Address bits of the processor.
    pub phys_bits: u8,
}

impl Space {
    /// Of a VM with this much memory, on a processor with so many address bits.
    #[must_use]
    pub fn of_vm(memory_bytes: u64, phys_bits: u8) -> Self {
        Self {
            low: LOW_WINDOW,
            ram_end: RAM_ABOVE + memory_bytes.saturating_sub(LOW_RAM),
            phys_bits: phys_bits.min(MOST_BITS),
        }
    }
}

/// The verdict on one function.
#[derive(Debug)]
pub struct Preflight {
    pub address: PciAddress,
    /// None: it could be given to a VM.
    pub problems: Vec<Problem>,
}

/// A function with its driver, as every problem names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub address: PciAddress,
    pub driver: Option<String>,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.driver {
            Some(driver) => write!(formatter, "{} (driver {driver})", self.address),
            None => write!(formatter, "{} (no driver)", self.address),
        }
    }
}

/// Why a function can't be given to a VM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{function} is a bridge")]
    Bridge { function: Subject },
    #[error("{function} is not bound to vfio-pci")]
    NotBound { function: Subject },
    #[error("{function} reads as all ones: it does not answer")]
    Silent { function: Subject },
    #[error("{function} is in no IOMMU group")]
    NoIommu { function: Subject },
    #[error("{function} shares IOMMU group {group} with {sibling}, which the host uses")]
    Sibling {
        function: Subject,
        group: u32,
        sibling: Subject,
    },
    #[error("{function} has no node: neither /dev/vfio/devices/vfioN nor /dev/vfio/{group}")]
    NoNode { function: Subject, group: u32 },
    #[error("{function} has no room in a VM")]
    NoRoom {
        function: Subject,
        source: PlacementError,
    },
}

impl Problem {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Bridge { .. } => {
                "bridges stay with the host: ask for what is behind it".to_owned()
            }
            Self::NotBound { function } => format!(
                "bind it: modprobe vfio-pci, then driverctl set-override {} vfio-pci",
                function.address
            ),
            Self::Silent { function } => format!(
                "it fell off the bus, which some do after a reset: echo 1 > /sys/bus/pci/devices/{}/remove, \
                 echo 1 > /sys/bus/pci/rescan; if that does not help, switch the host off and on",
                function.address
            ),
            Self::NoIommu { .. } => {
                "switch the IOMMU on: VT-d or AMD-Vi in the firmware, and intel_iommu=on on an \
                                     Intel host's kernel command line"
                    .to_owned()
            }
            Self::Sibling { sibling, .. } => format!(
                "bind {0} to vfio-pci, too, even if no pod wants it: driverctl set-override {0} vfio-pci; or put the device \
                 into a slot whose group is its own",
                sibling.address
            ),
            Self::NoNode { .. } => {
                "load the modules (modprobe vfio-pci); in a container, mount the host's /dev/vfio"
                    .to_owned()
            }
            Self::NoRoom { .. } => {
                "the host's processor must address what the device's memory takes".to_owned()
            }
        }
    }

    /// All of it is the host's to mend, but what is asked for in vain.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Bridge { .. } => Fault::Invalid,
            _ => Fault::HostUnfit,
        }
    }
}

impl Preflight {
    /// Looks at one function as if it were the only one of its VM.
    #[must_use]
    pub fn of(function: &Function, space: &Space) -> Self {
        let mut problems = Vec::new();
        let subject = Subject {
            address: function.address,
            driver: function.driver.clone(),
        };
        let whole = || subject.clone();
        if function.is_bridge() {
            problems.push(Problem::Bridge { function: whole() });
        }
        let bound = function.is_on_vfio();
        if !bound {
            problems.push(Problem::NotBound { function: whole() });
        }
        if !function.answers {
            problems.push(Problem::Silent { function: whole() });
        }
        match &function.group {
            None => problems.push(Problem::NoIommu { function: whole() }),
            Some(group) => {
                let siblings = siblings(function.address, &group.members);
                problems.extend(siblings.map(|sibling| Problem::Sibling {
                    function: whole(),
                    group: group.number,
                    sibling,
                }));
                // Without the driver there is none: that was said.
                if bound && !function.cdev_node && !function.group_node {
                    problems.push(Problem::NoNode {
                        function: whole(),
                        group: group.number,
                    });
                }
            }
        }
        if let Err(source) = room(&[function], space) {
            problems.push(Problem::NoRoom {
                function: whole(),
                source,
            });
        }
        Self {
            address: function.address,
            problems,
        }
    }

    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Whether the BARs of all these functions fit into one VM.
pub fn room(functions: &[&Function], space: &Space) -> Result<(), PlacementError> {
    let windows = Windows::new(space.low.clone(), space.ram_end, space.phys_bits)?;
    let demands: Vec<_> = functions
        .iter()
        .map(|function| Demand {
            function: function.address,
            bars: function.bars.clone(),
        })
        .collect();
    placement::place(&demands, &windows).map(drop)
}

/// Members of a group that a driver of the host's has.
fn siblings(of: PciAddress, members: &[Member]) -> impl Iterator<Item = Subject> {
    members
        .iter()
        .filter(move |member| member.address != of)
        .filter(|member| {
            let driver = member.driver.as_deref();
            !member.is_on_vfio() && driver.is_some_and(|driver| !HARMLESS.contains(&driver))
        })
        .map(|member| Subject {
            address: member.address,
            driver: member.driver.clone(),
        })
}

#[cfg(test)]
mod tests;
