//! The address of a PCI function on the host, as sysfs and lspci write it: `0000:41:00.0`. Main type: [`PciAddress`]. Everything in
//! this crate speaks of functions by it.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Devices on a bus and functions of a device (PCI Local Bus 3.0, section 3.2.2.3).
const DEVICES: u8 = 32;
const FUNCTIONS: u8 = 8;

/// Domain, bus, device and function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no PCI address: one looks like 0000:41:00.0")]
pub struct BadAddress {
    text: String,
}

impl FromStr for PciAddress {
    type Err = BadAddress;

    /// Takes the domain or not, as lspci does: `41:00.0` is in domain 0.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        parse(text).ok_or_else(|| BadAddress {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
    // A virtual host bridge (vmd) has a domain of more than four digits.
    if !(4..=8).contains(&domain.len()) {
        return None;
    }
    let address = PciAddress {
        domain: hex(domain)?,
        bus: byte(bus, 2)?,
        device: byte(device, 2)?,
        function: byte(function, 1)?,
    };
    (address.device < DEVICES && address.function < FUNCTIONS).then_some(address)
}

fn byte(text: &str, digits: usize) -> Option<u8> {
    if text.len() != digits {
        return None;
    }
    u8::try_from(hex(text)?).ok()
}

/// Digits only: `from_str_radix` would take a sign, too.
fn hex(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

impl fmt::Display for PciAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            device,
            function,
        } = self;
        write!(formatter, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

impl Serialize for PciAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
