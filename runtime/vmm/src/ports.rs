//! The root ports of a machine: one for each function of the host that it has, and one for each that it may be given later. Main type: [`Ports`].
//! Above: `assemble`; below: `machine`'s bus.

use machine::{
    board::Board,
    memory::{Layout, MemoryError},
    pci::PortRoom,
    vfio::VfioFunction,
};

/// Below 4 GiB behind a port whose function is not there yet: bridges pass on memory that is not prefetchable only there.
const SPARE_BELOW: u64 = 32 << 20;
/// Above RAM behind such a port: the memory of the largest accelerators; or, where the processor's addresses don't reach so far, of most other
/// devices.
const SPARE_ABOVE: [u64; 2] = [512 << 30, 4 << 30];

/// Ports to add, in order.
#[derive(Debug)]
pub(crate) struct Ports {
    given: Vec<PortRoom>,
    /// Of 64-bit BARs of the functions that are there.
    given_bytes: u64,
    later: u8,
    spare: PortRoom,
}

impl Ports {
    pub(crate) fn plan(given: &[&VfioFunction], later: u8) -> Self {
        let bytes = given.iter().map(|function| function.wide_bytes());
        Self {
            given: given.iter().map(|function| function.port_room()).collect(),
            given_bytes: bytes.fold(0, u64::saturating_add),
            later,
            spare: PortRoom::default(),
        }
    }

    /// The layout with room for what is behind the ports, for a processor with so many address bits.
    pub(crate) fn layout(
        &mut self,
        layout: Layout,
        address_bits: u8,
    ) -> Result<Layout, MemoryError> {
        let count = u8::try_from(self.given.len()).unwrap_or(u8::MAX);
        let layout = layout.with_ports(count.saturating_add(self.later));
        for spare in SPARE_ABOVE.iter().filter(|_| self.later > 0) {
            let bytes = u64::from(self.later) * spare + self.given_bytes;
            if let Ok(layout) = layout.with_devices(bytes, address_bits) {
                self.spare = PortRoom::spare(SPARE_BELOW, *spare);
                return Ok(layout);
            }
        }
        layout.with_devices(self.given_bytes, address_bits)
    }

    /// Adds them. A function whose port has no room lies on bus 0 instead, as far as that has any: most drivers don't mind.
    pub(crate) fn add(&self, board: &Board) {
        let spare = (0..self.later).map(|_| &self.spare);
        for room in self.given.iter().chain(spare) {
            drop(board.add_port(room));
        }
    }
}
