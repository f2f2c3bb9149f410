//! Finds the PCI functions of the host that a pod is to have, and says which of them a VM could be given by VFIO. Main types:
//! [`Host`], what sysfs says; [`Function`], one PCI function; [`cdi::Cdi`], what drivers say; [`Finder`], names to functions.
//! Below: `model`; `pod-resources`, kubelet's messages.
//!
//! Nothing here opens a VFIO device or changes the host: it reads, and `cri-server` decides by it.

mod address;
mod bars;
pub mod cdi;
mod deadlines;
mod find;
pub mod placement;
pub mod pod_resources;
pub mod preflight;
#[cfg(test)]
mod recorded;
mod sysfs;

pub use address::{BadAddress, PciAddress};
pub use bars::{BadResource, Bar, Width};
pub use deadlines::Deadlines;
pub use find::{FindError, Finder, Findings, Found, Ignored, Name, NodeError, Wanted};
pub use sysfs::{Function, Group, Host, Member, SysfsError};
