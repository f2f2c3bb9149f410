//! The PCIe bus: functions, their configuration space, BARs and MSI-X. Main type: [`PciFunction`], what a device implements.

mod function;

pub use function::{Bar, BarChange, PciFunction};
