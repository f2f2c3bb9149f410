//! The host bridge at 00:00.0: what a driver finds first on the bus. It has an identity and nothing else. Main type:
//! [`HostBridge`]. `root` puts it into slot 0.

use super::{Bar, BarChange, ConfigSpace, Identity, PciFunction};

/// "Red Hat, QEMU PCIe Host bridge" in pci.ids: the one generic host bridge that has an id, and for which Linux has no quirks.
const IDENTITY: Identity = Identity {
    vendor: 0x1b36,
    device: 0x0008,
    revision: 0,
    class: [0x06, 0x00, 0x00],
    subsystem_vendor: 0,
    subsystem: 0,
};

/// A host bridge without registers of its own.
#[derive(Debug)]
pub(super) struct HostBridge(ConfigSpace);

impl HostBridge {
    pub(super) fn new() -> Self {
        Self(ConfigSpace::new(&IDENTITY))
    }
}

impl PciFunction for HostBridge {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        self.0.read(offset, data);
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        self.0.write(offset, data)
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        Vec::new()
    }

    fn bar_moved(&mut self, _change: BarChange) {}

    fn bar_read(&mut self, _bar: Bar, _offset: u64, _data: &mut [u8]) {}

    fn bar_write(&mut self, _bar: Bar, _offset: u64, _data: &[u8]) {}

    fn unplug(&mut self) {}
}
