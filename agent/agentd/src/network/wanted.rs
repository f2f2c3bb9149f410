//! The one place where a `Network` of the wire is checked: sizes, names, addresses, references. Nothing has been done yet then.
//! Main function: [`parse`].

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

use agent::agent as wire;

use super::state::{
    Address, Interface, LOOK_UP, LOOPBACK, MAIN_TABLE, Mac, Neighbour, Prefix, Route, Rule,
    UNICAST, Wanted,
};
use crate::fault::Fault;

/// As agent.proto says.
const MAX_INTERFACES: usize = 64;
const MAX_ADDRESSES: usize = 256;
const MAX_ROUTES: usize = 4096;
const MAX_RULES: usize = 1024;
const MAX_NEIGHBOURS: usize = 4096;

/// IFNAMSIZ without its NUL.
const MAX_NAME_BYTES: usize = 15;

/// Of an Ethernet interface (ETH_MIN_MTU, ETH_MAX_MTU).
const MTUS: std::ops::RangeInclusive<u32> = 68..=65535;

/// RTN_UNICAST, RTN_LOCAL, and those that lead nowhere: RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW.
const ROUTE_KINDS: &[u32] = &[1, 2, 6, 7, 8, 9];
const LOCAL: u32 = 2;

/// FR_ACT_TO_TBL, FR_ACT_NOP, FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT. There is no field for where FR_ACT_GOTO goes.
const RULE_ACTIONS: &[u32] = &[1, 3, 6, 7, 8];

/// RTPROT_BOOT and IP6_RT_PRIO_USER: what the kernel takes for an IPv6 route that does not say.
const IPV6_PROTOCOL: u8 = 3;
const IPV6_PRIORITY: u32 = 1024;

/// Checks all of it.
pub(crate) fn parse(network: &wire::Network) -> Result<Wanted, Fault> {
    limit("interfaces", network.interfaces.len(), MAX_INTERFACES)?;
    limit("routes", network.routes.len(), MAX_ROUTES)?;
    limit("rules", network.rules.len(), MAX_RULES)?;
    limit("neighbours", network.neighbours.len(), MAX_NEIGHBOURS)?;
    let interfaces = each(&network.interfaces, interface)?;
    let mut known = HashSet::from([LOOPBACK]);
    let mut macs = HashSet::new();
    for interface in &interfaces {
        if !known.insert(&interface.name) {
            let name = &interface.name;
            return Err(Fault::invalid(format!("two interfaces are called {name}")));
        }
        if !macs.insert(interface.mac) {
            let name = &interface.name;
            return Err(Fault::invalid(format!(
                "interface {name} has the MAC of another one"
            )));
        }
    }
    Ok(Wanted {
        routes: each(&network.routes, |wire| route(wire, &known))?,
        rules: each(&network.rules, rule)?,
        neighbours: each(&network.neighbours, |wire| neighbour(wire, &known))?,
        interfaces,
    })
}

fn interface(wire: &wire::NetworkInterface) -> Result<Interface, Fault> {
    let name = interface_name(&wire.name)?;
    if name == LOOPBACK {
        return Err(Fault::invalid("lo is not the host's to make"));
    }
    let what = format!("interface {name}");
    if !MTUS.contains(&wire.mtu) {
        let (mtu, least, most) = (wire.mtu, MTUS.start(), MTUS.end());
        return Err(Fault::invalid(format!(
            "{what}: its MTU can't be {mtu}: {least} to {most}"
        )));
    }
    limit("addresses", wire.addresses.len(), MAX_ADDRESSES)?;
    Ok(Interface {
        mac: mac(&wire.mac, &what)?,
        mtu: wire.mtu,
        no_arp: wire.no_arp,
        addresses: each(&wire.addresses, |address| interface_address(address, &what))?,
        name,
    })
}

fn interface_address(wire: &wire::InterfaceAddress, what: &str) -> Result<Address, Fault> {
    let prefix = prefix(&wire.address, wire.prefix_length, what)?;
    let (own, ipv6) = (prefix.address, prefix.is_ipv6());
    let peer = address(&wire.peer, what)?.filter(|peer| *peer != own);
    let broadcast = match address(&wire.broadcast, what)? {
        None => None,
        Some(IpAddr::V4(broadcast)) if !ipv6 => Some(broadcast),
        Some(other) => {
            return Err(Fault::invalid(format!(
                "{what}: {other} is no broadcast address for {prefix}"
            )));
        }
    };
    same_family(what, own, peer)?;
    let scope = byte("scope", wire.scope, what)?;
    Ok(Address {
        prefix,
        peer,
        broadcast: broadcast.filter(|broadcast| *broadcast != Ipv4Addr::UNSPECIFIED),
        scope: if ipv6 { 0 } else { scope },
    })
}

fn route(wire: &wire::Route, known: &HashSet<&str>) -> Result<Route, Fault> {
    let destination = prefix(&wire.destination, wire.prefix_length, "a route")?;
    let what = format!("the route to {destination}");
    no_host_bits(destination, &what)?;
    if !ROUTE_KINDS.contains(&wire.kind) {
        let kind = wire.kind;
        return Err(Fault::invalid(format!("{what}: {kind} is no kind")));
    }
    let gateway = address(&wire.gateway, &what)?;
    let source = address(&wire.source, &what)?;
    let ipv6 = destination.is_ipv6();
    if ipv6 && gateway.is_some_and(|gateway| gateway.is_ipv4()) {
        return Err(Fault::invalid(format!(
            "{what}: an IPv6 route has no IPv4 gateway"
        )));
    }
    same_family(&what, destination.address, source)?;
    let interface = reference(&wire.interface, known, &what)?;
    let leads_somewhere = wire.kind == u32::from(UNICAST) || wire.kind == LOCAL;
    if leads_somewhere != interface.is_some() || (!leads_somewhere && gateway.is_some()) {
        return Err(Fault::invalid(format!(
            "{what}: a route of kind 1 or 2 has an interface, one of another kind neither interface nor gateway"
        )));
    }
    let protocol = byte("protocol", wire.protocol, &what)?;
    let scope = byte("scope", wire.scope, &what)?;
    let or = |number, instead| if number == 0 { instead } else { number };
    Ok(Route {
        table: or(wire.table, MAIN_TABLE),
        kind: byte("kind", wire.kind, &what)?,
        destination,
        gateway,
        interface,
        source,
        scope: if ipv6 { 0 } else { scope },
        protocol: if ipv6 && protocol == 0 {
            IPV6_PROTOCOL
        } else {
            protocol
        },
        on_link: wire.on_link,
        priority: if ipv6 {
            or(wire.priority, IPV6_PRIORITY)
        } else {
            wire.priority
        },
        mtu: wire.mtu,
        advertised_mss: wire.advertised_mss,
        tos: 0,
    })
}

fn rule(wire: &wire::Rule) -> Result<Rule, Fault> {
    let what = format!("the rule of priority {}", wire.priority);
    if !RULE_ACTIONS.contains(&wire.action) {
        let action = wire.action;
        return Err(Fault::invalid(format!("{what}: {action} is no action")));
    }
    let looks_up = wire.action == u32::from(LOOK_UP);
    if looks_up != (wire.table != 0) {
        return Err(Fault::invalid(format!(
            "{what}: it has a table when, and only when, its action is 1"
        )));
    }
    let selector = |bytes: &[u8], length: u32| -> Result<Option<Prefix>, Fault> {
        if bytes.is_empty() && length == 0 {
            return Ok(None);
        }
        let prefix = prefix(bytes, length, &what)?;
        no_host_bits(prefix, &what)?;
        if prefix.is_ipv6() != wire.ipv6 {
            return Err(Fault::invalid(format!(
                "{what}: {prefix} is of the other family"
            )));
        }
        // Everything: the kernel keeps no such condition.
        Ok(Some(prefix).filter(|prefix| prefix.length > 0))
    };
    let name = |name: &str| -> Result<Option<String>, Fault> {
        (!name.is_empty()).then(|| interface_name(name)).transpose()
    };
    let rule = Rule {
        priority: wire.priority,
        ipv6: wire.ipv6,
        action: byte("action", wire.action, &what)?,
        table: wire.table,
        source: selector(&wire.source, wire.source_prefix_length)?,
        destination: selector(&wire.destination, wire.destination_prefix_length)?,
        input_interface: name(&wire.input_interface)?,
        output_interface: name(&wire.output_interface)?,
        mark: (wire.mark_mask != 0).then_some((wire.mark & wire.mark_mask, wire.mark_mask)),
        inverted: wire.inverted,
        suppress_prefix_length: wire.suppress_prefix_length_plus_one.checked_sub(1),
        special: false,
    };
    if rule.is_the_kernels() {
        return Err(Fault::invalid(format!(
            "{what} is one of the kernel's own, which are always there"
        )));
    }
    Ok(rule)
}

fn neighbour(wire: &wire::Neighbour, known: &HashSet<&str>) -> Result<Neighbour, Fault> {
    let what = "a neighbour";
    let interface = reference(&wire.interface, known, what)?;
    let missing = |field| Fault::invalid(format!("{what} has no {field}"));
    let address = address(&wire.address, what)?.ok_or_else(|| missing("address"))?;
    Ok(Neighbour {
        interface: interface.ok_or_else(|| missing("interface"))?,
        address,
        mac: mac(&wire.mac, &format!("neighbour {address}"))?,
    })
}

fn each<Wire, Value>(
    list: &[Wire],
    parse: impl FnMut(&Wire) -> Result<Value, Fault>,
) -> Result<Vec<Value>, Fault> {
    list.iter().map(parse).collect()
}

fn limit(what: &str, count: usize, most: usize) -> Result<(), Fault> {
    if count > most {
        return Err(Fault::invalid(format!(
            "the network has {count} {what}, the limit is {most}"
        )));
    }
    Ok(())
}

/// As the kernel's dev_valid_name() has it; a percent sign would have it choose a number.
fn interface_name(name: &str) -> Result<String, Fault> {
    let odd = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(odd) || name.starts_with('.')
    {
        return Err(Fault::invalid(format!(
            "{name:?} can't be the name of an interface: 1 to {MAX_NAME_BYTES} bytes without / : % and spaces"
        )));
    }
    Ok(name.to_owned())
}

fn reference(name: &str, known: &HashSet<&str>, what: &str) -> Result<Option<String>, Fault> {
    if !name.is_empty() && !known.contains(name) {
        return Err(Fault::invalid(format!(
            "{what}: {name:?} is not among the interfaces"
        )));
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

fn mac(bytes: &[u8], what: &str) -> Result<Mac, Fault> {
    Mac::try_from(bytes).map_err(|_length| {
        Fault::invalid(format!("{what}: a MAC has 6 bytes, not {}", bytes.len()))
    })
}

fn address(bytes: &[u8], what: &str) -> Result<Option<IpAddr>, Fault> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let ipv4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = ipv4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    let length = bytes.len();
    address.map(Some).map_err(|_length| {
        Fault::invalid(format!(
            "{what}: an address has 4 or 16 bytes, not {length}"
        ))
    })
}

fn prefix(bytes: &[u8], length: u32, what: &str) -> Result<Prefix, Fault> {
    let Some(address) = address(bytes, what)? else {
        return Err(Fault::invalid(format!("{what} has no address")));
    };
    let most = if address.is_ipv6() { 128 } else { 32 };
    match u8::try_from(length) {
        Ok(length) if length <= most => Ok(Prefix { address, length }),
        _ => Err(Fault::invalid(format!(
            "{what}: the prefix of {address} can't have {length} bits"
        ))),
    }
}

fn no_host_bits(prefix: Prefix, what: &str) -> Result<(), Fault> {
    let length = u32::from(prefix.length);
    let behind = match prefix.address {
        IpAddr::V4(address) => u128::from(address.to_bits().checked_shl(length).unwrap_or(0)),
        IpAddr::V6(address) => address.to_bits().checked_shl(length).unwrap_or(0),
    };
    if behind != 0 {
        return Err(Fault::invalid(format!(
            "{what}: {prefix} has bits behind its prefix"
        )));
    }
    Ok(())
}

fn same_family(what: &str, one: IpAddr, other: Option<IpAddr>) -> Result<(), Fault> {
    match other {
        Some(other) if other.is_ipv6() != one.is_ipv6() => Err(Fault::invalid(format!(
            "{what}: {one} and {other} are of two families"
        ))),
        _ => Ok(()),
    }
}

fn byte(field: &str, number: u32, what: &str) -> Result<u8, Fault> {
    u8::try_from(number)
        .map_err(|_large| Fault::invalid(format!("{what}: its {field} can't be {number}")))
}

#[cfg(test)]
mod tests;
