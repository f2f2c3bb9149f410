//! The PCIe bus: functions, their configuration space, BARs and MSI-X. Main types: [`PciFunction`], what a device implements,
//! [`ConfigSpace`] and [`Msix`], what it is made of, and [`PciRoot`], the buses that `board` owns.

mod bar;
mod config;
mod ecam;
mod function;
mod host_bridge;
mod msix;
mod root;
mod root_port;

pub use bar::{BarError, BarSpec, BarWidth};
pub(crate) use bar::{Bars, Register};
pub use config::{COMMAND, CapabilityError, ConfigSpace, Identity};
pub use function::{Bar, BarChange, PciFunction};
pub use msix::{Msix, MsixError, MsixPlace, pending_bytes, table_bytes};
pub use root::{AddError, NoSuchFunction, PciAddress, PciRoot, PciWindows};
pub use root_port::PortRoom;
