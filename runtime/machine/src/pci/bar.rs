//! Base address registers of one function: size, kind and where they decode. Main type: [`Bars`], which
//! [`ConfigSpace`](super::ConfigSpace) keeps; [`BarSpec`] is how a device asks for one.

use thiserror::Error;

use super::{Bar, BarChange};

/// Offset of BAR 0 in configuration space.
pub(super) const FIRST: u16 = 0x10;
/// BARs of a type 0 header.
pub(super) const COUNT: usize = 6;
/// A BAR is no smaller than a page, so that two never share one.
const LEAST_BYTES: u64 = 4096;

/// Bits 2:1 of a memory BAR that say "64 bit wide" (PCI 3.0, 6.2.5.1).
pub(super) const WIDTH_64: u32 = 0b100;
pub(super) const PREFETCHABLE: u32 = 0b1000;

/// How far a BAR can be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarWidth {
    /// Below 4 GiB.
    Bits32,
    /// Anywhere; takes two registers.
    Bits64,
    /// Anywhere, and reads have no side effect.
    Bits64Prefetchable,
}

/// A memory BAR that a device wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarSpec {
    /// Which register.
    pub bar: Bar,
    /// A power of two, at least 4096.
    pub size: u64,
    /// Where it may go.
    pub width: BarWidth,
}

/// The BARs of one function and where they decode at this moment.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    specs: Vec<BarSpec>,
    decoded: Vec<Option<u64>>,
}

impl Bars {
    /// Takes a BAR and says what its registers start with and which of their bits the guest can write.
    pub(crate) fn add(&mut self, spec: BarSpec) -> Result<Vec<Register>, BarError> {
        let wide = spec.width != BarWidth::Bits32;
        let last = usize::from(spec.bar.0) + usize::from(wide);
        if last >= COUNT {
            return Err(BarError::NoRegister { bar: spec.bar.0 });
        }
        if !spec.size.is_power_of_two() || spec.size < LEAST_BYTES || (!wide && spec.size > 1 << 31)
        {
            return Err(BarError::Size {
                bar: spec.bar.0,
                size: spec.size,
            });
        }
        if self.specs.iter().any(|other| overlap(other, &spec)) {
            return Err(BarError::Taken { bar: spec.bar.0 });
        }
        self.specs.push(spec);
        self.decoded.push(None);

        let kind = match spec.width {
            BarWidth::Bits32 => 0,
            BarWidth::Bits64 => WIDTH_64,
            BarWidth::Bits64Prefetchable => WIDTH_64 | PREFETCHABLE,
        };
        let mask = (!(spec.size - 1)).to_le_bytes();
        let mut registers = vec![Register {
            offset: register(spec.bar),
            initial: kind,
            writable: u32::from_le_bytes([mask[0], mask[1], mask[2], mask[3]]),
        }];
        if wide {
            registers.push(Register {
                offset: register(spec.bar) + 4,
                initial: 0,
                writable: u32::from_le_bytes([mask[4], mask[5], mask[6], mask[7]]),
            });
        }
        Ok(registers)
    }

    /// Decodes the registers anew and says what moved.
    pub(crate) fn decode(
        &mut self,
        enabled: bool,
        mut read: impl FnMut(u16) -> u32,
    ) -> Vec<BarChange> {
        let mut changes = Vec::new();
        for (spec, decoded) in self.specs.iter().zip(&mut self.decoded) {
            let low = u64::from(read(register(spec.bar))) & !0xf;
            let high = match spec.width {
                BarWidth::Bits32 => 0,
                BarWidth::Bits64 | BarWidth::Bits64Prefetchable => {
                    u64::from(read(register(spec.bar) + 4))
                }
            };
            let now = enabled.then_some(high << 32 | low);
            if now != *decoded {
                changes.push(BarChange {
                    bar: spec.bar,
                    from: *decoded,
                    to: now,
                });
                *decoded = now;
            }
        }
        changes
    }

    pub(crate) fn list(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.specs
            .iter()
            .zip(&self.decoded)
            .map(|(spec, decoded)| (spec.bar, spec.size, *decoded))
            .collect()
    }
}

/// One BAR register as it comes out of reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Register {
    pub(crate) offset: u16,
    pub(crate) initial: u32,
    pub(crate) writable: u32,
}

pub(super) fn register(bar: Bar) -> u16 {
    FIRST + u16::from(bar.0) * 4
}

fn overlap(a: &BarSpec, b: &BarSpec) -> bool {
    let registers = |spec: &BarSpec| {
        let wide = u8::from(spec.width != BarWidth::Bits32);
        spec.bar.0..=spec.bar.0 + wide
    };
    registers(a).any(|register| registers(b).contains(&register))
}

/// Why a device can't have a BAR.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BarError {
    /// There are six registers, and a 64-bit BAR takes two.
    #[error("add BAR {bar}: a function has six registers, and a 64-bit BAR takes two")]
    NoRegister {
        /// Its number.
        bar: u8,
    },
    /// Not a size that hardware can decode.
    #[error("add BAR {bar} of {size} bytes: it must be a power of two and at least 4096")]
    Size {
        /// Its number.
        bar: u8,
        /// What was asked for.
        size: u64,
    },
    /// Two BARs in one register.
    #[error("add BAR {bar}: its register is taken")]
    Taken {
        /// Its number.
        bar: u8,
    },
}
