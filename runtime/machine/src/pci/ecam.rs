//! Where an access to ECAM goes (PCIe 6.0, 7.2.2): bus, device, function and register out of the offset. Main type: [`Target`].
//! `root` asks it for each access.

/// Registers of a function in ECAM.
const FUNCTION_BITS: u32 = 12;

/// What an offset into ECAM names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bus: u8,
    pub(super) device: u8,
    pub(super) function: u8,
    pub(super) register: u16,
}

impl Target {
    /// `None` for accesses that no PCI function ever sees: longer than 4 bytes, or not naturally aligned.
    pub(super) fn of(offset: u64, length: usize) -> Option<Self> {
        let aligned =
            matches!(length, 1 | 2 | 4) && offset.is_multiple_of(u64::try_from(length).ok()?);
        if !aligned {
            return None;
        }
        Some(Self {
            bus: u8::try_from(offset >> (FUNCTION_BITS + 8)).ok()?,
            device: u8::try_from(offset >> (FUNCTION_BITS + 3) & 0x1f).ok()?,
            function: u8::try_from(offset >> FUNCTION_BITS & 7).ok()?,
            register: u16::try_from(offset & 0xfff).ok()?,
        })
    }
}
