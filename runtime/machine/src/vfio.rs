//! PCI functions of the host, given to the guest by VFIO. Main types: [`Container`], the IOMMU domain that holds all of the guest's RAM,
//! over descriptors that somebody else opened; [`VfioFunction`], one function on the guest's bus. Below: the kernel's VFIO and KVM.
//! Above: `vmm` makes them, `pci`'s bus owns the functions. Neighbours: `interrupt`, whose wires the kernel rings.
//!
//! ```text
//! Container        type 1: groups join a container; or iommufd: an address space ─► RAM mapped for DMA, KVM told (KvmGroups)
//! Container::open  the function's descriptor ─► reset ─► VfioFunction::new: configuration table, BARs, vectors ─► on the bus
//! the guest runs   BARs: its own pages where the kernel maps them, else an exit. Interrupts: kernel to kernel. Configuration: a table
//! unplug, or the end of the process: interrupts off, BARs unmapped, bus mastering off, reset; then RAM unmapped, with the last function
//! ```
//!
//! Not here: INTx, expansion ROMs, I/O ports, DMA between two functions.

mod bars;
mod config;
mod container;
mod error;
#[cfg(test)]
mod fake;
mod function;
mod hardware;
mod ioctl;
mod kernel;
mod kvm_groups;
mod msi;
mod signals;
mod window;

pub use container::{Container, account_by_process};
pub use error::VfioError;
pub use function::{OnFault, VfioFunction};
pub use hardware::{Hardware, Region, Signal};
pub use kernel::Device;
pub use kvm_groups::KvmGroups;
pub use window::Mapping;
