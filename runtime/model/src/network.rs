//! A pod's network as its guest is to have it: one whole, declarative value. Main type: [`PodNetwork`]. `network` reads it out of the
//! pod's network namespace after the CNI plugins have run; `agent-client` carries it to the agent, which makes the guest so.
//!
//! Numbers that Linux names (scopes, tables, protocols) are Linux's own, from `linux/rtnetlink.h` and `linux/fib_rules.h`.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// All of it. Applying the same value twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PodNetwork {
    /// Network interfaces beside `lo`, which every guest has.
    pub interfaces: Vec<Interface>,
    /// Routes of all tables, in an order in which each can be added after those before it. Routes that the kernel makes by itself for
    /// an address are not among them.
    pub routes: Vec<Route>,
    /// Policy rules beside the kernel's three (priorities 0, 32766 and 32767).
    pub rules: Vec<Rule>,
    /// Permanent neighbours.
    pub neighbours: Vec<Neighbour>,
}

/// One Ethernet interface of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name in the guest, at most 15 bytes (`IFNAMSIZ`).
    pub name: String,
    /// By which the guest finds it among its devices.
    pub mac: Mac,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// `IFF_NOARP`: neighbours are not asked for.
    pub no_arp: bool,
    /// Its addresses, in order.
    pub addresses: Vec<Address>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address and the length of its network's prefix.
    pub prefix: Prefix,
    /// The other end of a point-to-point link; the prefix is that end's then.
    pub peer: Option<IpAddr>,
    /// IPv4 broadcast address.
    pub broadcast: Option<IpAddr>,
    /// `RT_SCOPE_*`: 0 everywhere, 253 on the link, 254 on the host.
    pub scope: u8,
}

/// An IP address with the length of a network's prefix. As a route's destination, the bits behind the prefix are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// At most 32 or 128.
    pub length: u8,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Table's number; 254 is `main`.
    pub table: u32,
    /// What it does with a packet.
    pub kind: RouteKind,
    /// Where it leads to; a prefix of length 0 is the default route and tells the family.
    pub destination: Prefix,
    /// Next hop. May be of the other family (RFC 5549).
    pub gateway: Option<IpAddr>,
    /// Interface's name; none for routes that lead nowhere.
    pub interface: Option<String>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// `RTPROT_*`: who made it.
    pub protocol: u8,
    /// The gateway counts as reachable on the interface, whatever its addresses (`RTNH_F_ONLINK`).
    pub on_link: bool,
    /// Smaller ones win; 0 is not said.
    pub priority: u32,
    /// `RTAX_MTU`; 0 is not said.
    pub mtu: u32,
    /// `RTAX_ADVMSS`; 0 is not said.
    pub advertised_mss: u32,
}

/// What a route does with a packet (`RTN_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Takes it as the host's own.
    Local,
    /// Drops it in silence.
    Blackhole,
    /// Drops it and says "unreachable".
    Unreachable,
    /// Drops it and says "prohibited".
    Prohibit,
    /// Goes on with the next rule.
    Throw,
}

/// A policy rule: which table decides about which packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Smaller ones are asked first.
    pub priority: u32,
    /// For IPv6 packets, else for IPv4.
    pub ipv6: bool,
    /// What it does (`FR_ACT_*`): 1 looks up the table, 6 drops, 7 unreachable, 8 prohibit.
    pub action: u8,
    /// Table to look up.
    pub table: u32,
    /// Packets from there.
    pub source: Option<Prefix>,
    /// Packets to there.
    pub destination: Option<Prefix>,
    /// Packets that came by this interface.
    pub input_interface: Option<String>,
    /// Packets of sockets bound to this interface.
    pub output_interface: Option<String>,
    /// Packets whose mark has this value in the bits of the mask.
    pub mark: Option<(u32, u32)>,
    /// Whether it applies to packets that the others apply to (`FIB_RULE_INVERT`).
    pub inverted: bool,
    /// `FRA_SUPPRESS_PREFIXLEN`: routes with a prefix of this length or shorter don't count.
    pub suppress_prefix_length: Option<u32>,
}

/// A neighbour that is never asked for (`NUD_PERMANENT`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Interface's name.
    pub interface: String,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: Mac,
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// A string that is no Ethernet address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("\"{}\" is no Ethernet address: six bytes in hexadecimal with colons between", text.escape_default())]
pub struct BadMac {
    text: String,
}

impl FromStr for Mac {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac {
            text: text.to_owned(),
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(bad)?;
            // `from_str_radix` takes a sign.
            let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| digits)
                .ok_or_else(bad)?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(bad()),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = BadMac;

    fn try_from(text: String) -> Result<Self, BadMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests;
