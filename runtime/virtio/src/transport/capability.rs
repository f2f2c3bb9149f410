//! Where a device's registers lie in its BAR, and the capabilities that tell the driver (virtio 1.3, section 4.1.4). Main types:
//! [`Window`], a part of the BAR, and [`ConfigAccess`], the way to the BAR through configuration space. Above: the transport.
//!
//! Each window has a page of its own, so that a page can be given away (doorbells in the kernel) or be looked at alone.

#[cfg(test)]
mod tests;

use machine::pci::{Bar, CapabilityError, ConfigSpace, MsixPlace};

use super::registers;

/// The only BAR.
pub(super) const BAR: Bar = Bar(0);

/// Its size.
pub(super) const BAR_BYTES: u64 = 0x8000;

/// Bytes between the doorbells of two queues.
pub(super) const DOORBELL_STRIDE: u32 = 4;

const PAGE_BYTES: u32 = 0x1000;
const COMMON: u32 = 0x0000;
const ISR: u32 = 0x1000;
const DEVICE: u32 = 0x2000;
const NOTIFY: u32 = 0x3000;
const MSIX_TABLE: u32 = 0x4000;
const MSIX_PENDING: u32 = 0x5000;

/// Vendor-specific, which is what virtio's capabilities are.
const VENDOR: u8 = 0x09;

const TYPE_COMMON: u8 = 1;
const TYPE_NOTIFY: u8 = 2;
const TYPE_ISR: u8 = 3;
const TYPE_DEVICE: u8 = 4;
const TYPE_CONFIG_ACCESS: u8 = 5;

/// Queues whose doorbells and vectors fit their windows: one vector goes to configuration changes, and a table holds 256.
pub(super) const MOST_QUEUES: usize = 255;

/// Table and pending bits, which have a capability of their own.
pub(super) const MSIX: MsixPlace = MsixPlace {
    bar: BAR,
    table: MSIX_TABLE,
    pending: MSIX_PENDING,
};

/// A part of the BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    Common,
    Isr,
    Device,
    Notify,
    MsixTable,
    MsixPending,
}

/// Which window an offset into the BAR is in, and where in it.
pub(super) fn find(offset: u64) -> Option<(Window, u64)> {
    let page = u64::from(PAGE_BYTES);
    let window = match u32::try_from(offset / page * page).ok()? {
        COMMON => Window::Common,
        ISR => Window::Isr,
        DEVICE => Window::Device,
        NOTIFY => Window::Notify,
        MSIX_TABLE => Window::MsixTable,
        MSIX_PENDING => Window::MsixPending,
        _ => return None,
    };
    Some((window, offset % page))
}

/// Offset into the BAR of a queue's doorbell.
pub(super) fn doorbell(queue: u16) -> u64 {
    u64::from(NOTIFY) + u64::from(queue) * u64::from(DOORBELL_STRIDE)
}

/// The queue whose doorbell is at this offset into the notify window.
pub(super) fn rung(offset: u64) -> Option<usize> {
    usize::try_from(offset / u64::from(DOORBELL_STRIDE)).ok()
}

/// Puts virtio's capabilities into configuration space.
pub(super) fn add(config: &mut ConfigSpace, queues: u16) -> Result<ConfigAccess, CapabilityError> {
    let doorbells = u32::from(queues) * DOORBELL_STRIDE;
    for (kind, offset, length) in [
        (TYPE_COMMON, COMMON, registers::BYTES),
        (TYPE_ISR, ISR, 1),
        (TYPE_DEVICE, DEVICE, PAGE_BYTES),
    ] {
        config.add_capability(VENDOR, &body(kind, offset, length, &[]), &[])?;
    }
    let stride = DOORBELL_STRIDE.to_le_bytes();
    config.add_capability(VENDOR, &body(TYPE_NOTIFY, NOTIFY, doorbells, &stride), &[])?;
    ConfigAccess::add(config)
}

/// A capability from its third byte on (section 4.1.4).
fn body(kind: u8, offset: u32, length: u32, more: &[u8]) -> Vec<u8> {
    const BYTES: u8 = 16;
    let bytes = if more.is_empty() { BYTES } else { BYTES + 4 };
    let mut body = vec![bytes, kind, BAR.0, 0, 0, 0];
    body.extend(offset.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(more);
    body
}

/// The way to the BAR for those who can't map it (section 4.1.4.9): the driver writes BAR, offset and length to the capability, and
/// then reads or writes its data field.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigAccess {
    at: u16,
}

impl ConfigAccess {
    fn add(config: &mut ConfigSpace) -> Result<Self, CapabilityError> {
        let body = body(TYPE_CONFIG_ACCESS, 0, 0, &[0; 4]);
        let mut writable = [0xff; 18];
        // Length, type, id and padding stay; BAR (the third) is the driver's.
        for fixed in [0, 1, 3, 4, 5] {
            writable[fixed] = 0;
        }
        let at = config.add_capability(VENDOR, &body, &writable)?;
        Ok(Self { at })
    }

    /// Offset of the data field in configuration space.
    pub(super) fn data(self) -> u16 {
        self.at + 16
    }

    /// Offset into the BAR and length, if the driver chose ones that can be.
    pub(super) fn target(self, config: &ConfigSpace) -> Option<(u64, usize)> {
        let mut bytes = [0; 12];
        config.read(self.at + 4, &mut bytes);
        let [bar, _, _, _, o0, o1, o2, o3, l0, l1, l2, l3] = bytes;
        let offset = u32::from_le_bytes([o0, o1, o2, o3]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let possible = bar == BAR.0 && matches!(length, 1 | 2 | 4);
        let inside = u64::from(offset) < BAR_BYTES;
        if !possible || !inside || !offset.is_multiple_of(length) {
            return None;
        }
        Some((u64::from(offset), usize::try_from(length).ok()?))
    }
}
