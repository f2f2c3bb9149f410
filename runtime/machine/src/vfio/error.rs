//! Why a function of the host is not given to the guest, or does not work there. Main type: [`VfioError`].

use std::io;

use thiserror::Error;

use crate::{interrupt::InterruptError, kvm::KvmError, pci::BarError};

/// Why not.
#[derive(Debug, Error)]
pub enum VfioError {
    /// A descriptor is something else than was said.
    #[error(
        "use the descriptor given as {what}: it is something else, or a VFIO of another version"
    )]
    Not {
        /// What it should be.
        what: &'static str,
    },
    /// No IOMMU that can be programmed.
    #[error("use this host's IOMMU: VFIO has no type 1 driver for it (load vfio_iommu_type1)")]
    NoType1,
    /// A function of the group is the host's.
    #[error(
        "use a VFIO group: it is not viable, which means that a driver of the host has another function of it"
    )]
    NotViable,
    /// The kernel refused something about container or groups.
    #[error("{attempt}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// RAM could not be pinned.
    #[error(
        "map {bytes} bytes of the guest's memory for DMA: all of it is pinned, so the host needs that much free memory, in the pod's cgroup \
         too"
    )]
    Pin {
        /// Of the region.
        bytes: u64,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The message names a group or a cdev that did not come.
    #[error("open function {function}: no group or cdev {place} came with it")]
    NoNode {
        /// Its address on the host.
        function: String,
        /// Its place in the list.
        place: usize,
    },
    /// iommufd does not get it.
    #[error(
        "take function {function} for this VM: another one has it, a driver of the host has another function of its IOMMU group, or the IOMMU \
         does not remap interrupts"
    )]
    Bind {
        /// Its address on the host.
        function: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something about one function.
    #[error("{attempt} of function {function}")]
    Function {
        /// Its address on the host.
        function: String,
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It does not answer.
    #[error(
        "use function {function}: it reads as all ones, so it fell off its bus; a reset of the host may bring it back"
    )]
    Silent {
        /// Its address on the host.
        function: String,
    },
    /// It is something that no guest can be given.
    #[error("use function {function}: {why}")]
    Unfit {
        /// Its address on the host.
        function: String,
        /// Why not.
        why: &'static str,
    },
    /// A BAR that our bus does not have.
    #[error("give the guest a BAR of function {function}")]
    Bar {
        /// Its address on the host.
        function: String,
        /// Why not.
        #[source]
        source: BarError,
    },
    /// Vectors.
    #[error("give the guest the interrupts of function {function}")]
    Interrupt {
        /// Its address on the host.
        function: String,
        /// Why not.
        #[source]
        source: InterruptError,
    },
    /// KVM.
    #[error("have KVM know of the functions of the host")]
    Kvm(#[from] KvmError),
}
