//! The BARs of a function, from the file `resource` of its folder in sysfs: a line of start, end and flags for each of the six, then
//! lines for the ROM, an SR-IOV capability and a bridge's windows. Main type: [`Bar`]. Above: `sysfs`, which reads the file.

use serde::Serialize;

/// Lines that are BARs (PCI_STD_RESOURCE_END, linux/pci.h).
const BARS: usize = 6;

// linux/ioport.h
const IORESOURCE_MEM: u64 = 0x200;
const IORESOURCE_PREFETCH: u64 = 0x2000;
const IORESOURCE_MEM_64: u64 = 0x10_0000;

/// Smallest memory BAR (PCI Local Bus 3.0, section 6.2.5.1).
const SMALLEST: u64 = 16;

/// How wide the address in a BAR is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    Bits32,
    Bits64,
}

/// One memory BAR. Those for I/O ports are left out: no guest gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// 0 to 5; one of 64 bits takes the number after its own, too.
    pub index: u8,
    /// In bytes, a power of two.
    pub size: u64,
    pub width: Width,
    pub prefetchable: bool,
}

/// A `resource` file that is not as the kernel writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResource {
    #[error("line {line:?} is not start, end and flags")]
    Line { line: String },
    #[error("BAR {index} has {size:#x} bytes, which is no size of a BAR")]
    Size { index: u8, size: u64 },
}

/// The memory BARs that a `resource` file names, in order.
pub(crate) fn parse(text: &str) -> Result<Vec<Bar>, BadResource> {
    let mut bars = Vec::new();
    for (index, line) in (0u8..).zip(text.lines().take(BARS)) {
        if let Some(bar) = of_line(index, line)? {
            bars.push(bar);
        }
    }
    Ok(bars)
}

fn of_line(index: u8, line: &str) -> Result<Option<Bar>, BadResource> {
    let [start, end, flags] = numbers(line).ok_or_else(|| BadResource::Line {
        line: line.to_owned(),
    })?;
    if flags & IORESOURCE_MEM == 0 {
        return Ok(None);
    }
    let size = end.wrapping_sub(start).wrapping_add(1);
    if end < start || size < SMALLEST || !size.is_power_of_two() {
        return Err(BadResource::Size { index, size });
    }
    Ok(Some(Bar {
        index,
        size,
        width: if flags & IORESOURCE_MEM_64 == 0 {
            Width::Bits32
        } else {
            Width::Bits64
        },
        prefetchable: flags & IORESOURCE_PREFETCH != 0,
    }))
}

fn numbers(line: &str) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = line
        .split_whitespace()
        .map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests;
