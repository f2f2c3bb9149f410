//! Names that travel as text and are checked when they are read. Main types: [`PciAddress`] and [`DiskId`].

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// Where a device sits on the guest's bus, written as Linux does: `0000:00:03.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciAddress {
    /// PCI segment; 0 on every machine so far.
    pub segment: u16,
    /// Bus number.
    pub bus: u8,
    /// Device (slot) number, below 32.
    pub device: u8,
    /// Function number, below 8.
    pub function: u8,
}

/// What the launcher calls a disk. The guest sees it as the disk's serial number: 1 to 20 printable ASCII characters
/// without space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiskId(String);

/// Text that is not what it should name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Not a PCI address.
    #[error("{0:?} is not a PCI address like 0000:00:03.0")]
    PciAddress(String),
    /// Not a disk id.
    #[error("{0:?} is not a disk id: 1 to 20 printable ASCII characters without space")]
    DiskId(String),
}

impl DiskId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            segment,
            bus,
            device,
            function,
        } = self;
        write!(
            formatter,
            "{segment:04x}:{bus:02x}:{device:02x}.{function:x}"
        )
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for PciAddress {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidName::PciAddress(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (segment, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let digits = [(segment, 4), (bus, 2), (device, 2), (function, 1)];
    let whole = digits
        .iter()
        .all(|(part, length)| part.len() == *length && part.bytes().all(|b| b.is_ascii_hexdigit()));
    let address = PciAddress {
        segment: u16::from_str_radix(segment, 16).ok()?,
        bus: u8::from_str_radix(bus, 16).ok()?,
        device: u8::from_str_radix(device, 16).ok()?,
        function: u8::from_str_radix(function, 16).ok()?,
    };
    (whole && address.device < 32 && address.function < 8).then_some(address)
}

impl FromStr for DiskId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=limits::DISK_ID_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::DiskId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for PciAddress {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PciAddress> for String {
    fn from(address: PciAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for DiskId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DiskId> for String {
    fn from(id: DiskId) -> Self {
        id.0
    }
}
