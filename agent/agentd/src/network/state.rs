//! The words of a network, for what is wanted and for what is there alike. Interfaces are named in them; numbers that Linux names
//! (scopes, tables, protocols, actions) are Linux's own. What the kernel fills in by itself is normal form here, so that equal means
//! equal. Main types: [`Wanted`], [`Present`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// RTPROT_KERNEL: the kernel makes such routes for an address, and takes them with it.
pub(super) const MADE_BY_KERNEL: u8 = 2;

/// RTN_UNICAST.
pub(super) const UNICAST: u8 = 1;

/// FR_ACT_TO_TBL.
pub(super) const LOOK_UP: u8 = 1;

/// RT_TABLE_MAIN.
pub(super) const MAIN_TABLE: u32 = 254;

/// The interface that every guest has.
pub(super) const LOOPBACK: &str = "lo";

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

/// What the host asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    pub(super) interfaces: Vec<Interface>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    pub(super) neighbours: Vec<Neighbour>,
}

/// An interface as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) mac: Mac,
    pub(super) mtu: u32,
    pub(super) no_arp: bool,
    pub(super) addresses: Vec<Address>,
}

/// What the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Present {
    pub(super) links: Vec<Link>,
    /// All of each interface, in the kernel's order.
    pub(super) addresses: Vec<(String, Address)>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    pub(super) neighbours: Vec<Neighbour>,
}

/// An interface as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The kernel's number for it.
    pub(super) index: u32,
    pub(super) name: String,
    /// None when it is no Ethernet interface.
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) no_arp: bool,
    /// The kernel gives it IPv6 addresses that nobody named: its own, or those that routers advertise.
    pub(super) automatic_ipv6: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Prefix {
    pub(super) address: IpAddr,
    pub(super) length: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) prefix: Prefix,
    /// Never the address itself.
    pub(super) peer: Option<IpAddr>,
    pub(super) broadcast: Option<Ipv4Addr>,
    /// 0 with IPv6, where the address tells its scope.
    pub(super) scope: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Route {
    pub(super) table: u32,
    pub(super) kind: u8,
    pub(super) destination: Prefix,
    pub(super) gateway: Option<IpAddr>,
    /// None for routes that lead nowhere.
    pub(super) interface: Option<String>,
    pub(super) source: Option<IpAddr>,
    /// 0 with IPv6.
    pub(super) scope: u8,
    pub(super) protocol: u8,
    pub(super) on_link: bool,
    pub(super) priority: u32,
    pub(super) mtu: u32,
    pub(super) advertised_mss: u32,
    /// Its type of service; no wanted one has any.
    pub(super) tos: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) priority: u32,
    pub(super) ipv6: bool,
    pub(super) action: u8,
    /// 0 when the action looks up none.
    pub(super) table: u32,
    pub(super) source: Option<Prefix>,
    pub(super) destination: Option<Prefix>,
    pub(super) input_interface: Option<String>,
    pub(super) output_interface: Option<String>,
    /// Value and mask; the mask is never 0.
    pub(super) mark: Option<(u32, u32)>,
    pub(super) inverted: bool,
    pub(super) suppress_prefix_length: Option<u32>,
    /// It has conditions that no wanted one has: a port, a user, a protocol.
    pub(super) special: bool,
}

/// A permanent one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Neighbour {
    pub(super) interface: String,
    pub(super) address: IpAddr,
    pub(super) mac: Mac,
}

impl Prefix {
    pub(super) fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }
}

impl Rule {
    /// Those with which every network namespace begins (net/ipv4/fib_rules.c, net/ipv6/fib6_rules.c).
    pub(super) fn is_the_kernels(&self) -> bool {
        let first = Self {
            priority: self.priority,
            ipv6: self.ipv6,
            action: LOOK_UP,
            table: self.table,
            source: None,
            destination: None,
            input_interface: None,
            output_interface: None,
            mark: None,
            inverted: false,
            suppress_prefix_length: None,
            special: false,
        };
        let known = matches!(
            (self.priority, self.table),
            (0, 255) | (32766, 254) | (32767, 253)
        );
        known && *self == first
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.length)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "route to {}", self.destination)?;
        if self.kind != UNICAST {
            write!(out, " of kind {}", self.kind)?;
        }
        if let Some(gateway) = self.gateway {
            write!(out, " via {gateway}")?;
        }
        if let Some(interface) = &self.interface {
            write!(out, " on {interface}")?;
        }
        write!(out, " in table {}", self.table)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        let Self {
            priority, table, ..
        } = self;
        write!(
            out,
            "{family} rule of priority {priority} for table {table}"
        )
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "neighbour {} on {}", self.address, self.interface)
    }
}
