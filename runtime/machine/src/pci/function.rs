//! What one PCI function is to the bus. `virtio`'s transport implements it, passthrough will.

use std::fmt::Debug;

/// Number of a base address register, 0 to 5. A 64-bit BAR is known by its lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bar(pub u8);

/// The guest made a BAR decode somewhere else, or not at all (memory decoding off).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarChange {
    /// Which one.
    pub bar: Bar,
    /// Where it decoded until now.
    pub from: Option<u64>,
    /// Where it decodes from now on.
    pub to: Option<u64>,
}

/// One function behind a PCI address. The bus owns it, keeps its decoded BAR addresses, and calls it under the board's lock.
pub trait PciFunction: Send + Debug {
    /// Reads `data.len()` (1, 2 or 4) bytes of configuration space, naturally aligned.
    fn config_read(&mut self, offset: u16, data: &mut [u8]);

    /// Writes configuration space and says which BARs decode elsewhere now. The bus then calls [`PciFunction::bar_moved`] for
    /// each, after it has changed its own map.
    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange>;

    /// Size in bytes and present address of each memory BAR, for the bus's map at the time the function is added.
    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)>;

    /// A BAR decodes at another address: what was bound to guest addresses (ioeventfds) follows.
    fn bar_moved(&mut self, change: BarChange);

    /// An access to a BAR that no ioeventfd took.
    fn bar_read(&mut self, bar: Bar, offset: u64, data: &mut [u8]);

    /// An access to a BAR that no ioeventfd took.
    fn bar_write(&mut self, bar: Bar, offset: u64, data: &[u8]);

    /// The function leaves the bus: it stops its work and gives back interrupts and ioeventfds before it returns.
    fn unplug(&mut self);
}
