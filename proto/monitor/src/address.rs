//! Names that travel as text and are checked when they are read. Main types: [`PciAddress`], [`DiskId`],
//! [`NicId`], [`ShareTag`] and [`Mac`].

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

/// What the launcher calls a NIC, usually its name in the pod: 1 to 15 printable ASCII characters without space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NicId(String);

/// By which the guest mounts a share: 1 to 36 printable ASCII characters without space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareTag(String);

/// The address of one NIC on its link (IEEE 802): neither a group's nor all zeroes. Written `02:00:5e:00:53:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// Text that is not what it should name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Not a PCI address.
    #[error("{0:?} is not a PCI address like 0000:00:03.0")]
    PciAddress(String),
    /// Not a disk id.
    #[error("{0:?} is not a disk id: 1 to 20 printable ASCII characters without space")]
    DiskId(String),
    /// Not a NIC's id.
    #[error("{0:?} is not a NIC id: 1 to 15 printable ASCII characters without space")]
    NicId(String),
    /// Not a share's tag.
    #[error("{0:?} is not a share's tag: 1 to 36 printable ASCII characters without space")]
    ShareTag(String),
    /// Not a NIC's address.
    #[error("{0:?} is not the MAC address of one NIC, like 02:00:5e:00:53:01")]
    Mac(String),
}

impl DiskId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NicId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ShareTag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Mac {
    /// The address with these bytes, if one NIC can have it: the lowest bit of the first byte would make it a group's.
    #[must_use]
    pub fn new(bytes: [u8; 6]) -> Option<Self> {
        let [first, ..] = bytes;
        (bytes != [0; 6] && first & 1 == 0).then_some(Self(bytes))
    }

    /// Its bytes, in the order in which they go over the link.
    #[must_use]
    pub fn bytes(self) -> [u8; 6] {
        self.0
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

impl fmt::Display for NicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for ShareTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
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
        if is_id(text, limits::DISK_ID_BYTES) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::DiskId(text.to_owned()))
        }
    }
}

impl FromStr for NicId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_id(text, limits::NIC_ID_BYTES) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::NicId(text.to_owned()))
        }
    }
}

impl FromStr for ShareTag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_id(text, limits::SHARE_TAG_BYTES) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::ShareTag(text.to_owned()))
        }
    }
}

fn is_id(text: &str, most_bytes: usize) -> bool {
    let fits = (1..=most_bytes).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl FromStr for Mac {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_mac(text).ok_or_else(|| InvalidName::Mac(text.to_owned()))
    }
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next()?;
        let whole = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(part, 16).ok().filter(|_| whole)?;
    }
    parts.next().is_none().then_some(bytes).and_then(Mac::new)
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

impl TryFrom<String> for NicId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NicId> for String {
    fn from(id: NicId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ShareTag {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ShareTag> for String {
    fn from(tag: ShareTag) -> Self {
        tag.0
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}
