//! The network as the kernel has it: its messages as the words of `state`. Main function: [`present`]. What no `Network` can say
//! (a route of several hops, say) is read without it, so that it is equal to nothing that is wanted.

use std::{collections::HashMap, fs, io, net::IpAddr, path::Path};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteVia},
    rule::{RuleAttribute, RuleFlags, RuleMessage},
};

use super::{
    netlink::Netlink,
    state::{Address, Link, Mac, Neighbour, Prefix, Present, Route, Rule},
};

/// Each interface's IPv6 settings, for those of this thread's network namespace.
pub(super) const IPV6_SETTINGS: &str = "/proc/sys/net/ipv6/conf";

/// By which an interface gets IPv6 addresses that nobody named, and the values that keep it from that
/// (Documentation/networking/ip-sysctl.rst).
pub(super) const AUTOMATIC_IPV6: [(&str, &str); 3] = [
    ("accept_ra", "0"),
    ("autoconf", "0"),
    ("addr_gen_mode", "1"),
];

/// RTN_UNICAST, RTN_LOCAL: the kernel names the loopback interface in IPv6 routes that lead nowhere.
const LEADS_SOMEWHERE: [u8; 2] = [1, 2];

/// Reads all of it.
pub(super) async fn present(netlink: &mut Netlink) -> io::Result<Present> {
    use RouteNetlinkMessage as Message;
    let mut present = Present::default();
    for message in netlink
        .list(Message::GetLink(LinkMessage::default()))
        .await?
    {
        if let Message::NewLink(message) = message {
            present.links.extend(link(&message));
        }
    }
    let names: Names = present
        .links
        .iter()
        .map(|link| (link.index, link.name.clone()))
        .collect();
    let addresses = Message::GetAddress(AddressMessage::default());
    for message in netlink.list(addresses).await? {
        if let Message::NewAddress(message) = message {
            let name = name_of(&names, message.header.index);
            present
                .addresses
                .extend(address(&message).map(|address| (name, address)));
        }
    }
    for message in netlink
        .list(Message::GetRoute(RouteMessage::default()))
        .await?
    {
        if let Message::NewRoute(message) = message {
            present.routes.extend(route(&message, &names));
        }
    }
    for message in netlink
        .list(Message::GetRule(RuleMessage::default()))
        .await?
    {
        if let Message::NewRule(message) = message {
            present.rules.extend(rule(&message));
        }
    }
    let neighbours = Message::GetNeighbour(NeighbourMessage::default());
    for message in netlink.list(neighbours).await? {
        if let Message::NewNeighbour(message) = message {
            present.neighbours.extend(neighbour(&message, &names));
        }
    }
    Ok(present)
}

type Names = HashMap<u32, String>;

/// One that appeared after the list of interfaces is known by its number until the next reading.
fn name_of(names: &Names, index: u32) -> String {
    names
        .get(&index)
        .cloned()
        .unwrap_or_else(|| format!("interface number {index}"))
}

fn link(message: &LinkMessage) -> Option<Link> {
    let header = &message.header;
    let (mut name, mut mac, mut mtu) = (None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Mtu(number) => mtu = *number,
            LinkAttribute::Address(bytes) if header.link_layer_type == LinkLayerType::Ether => {
                mac = Mac::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    let name = name?;
    Some(Link {
        index: header.index,
        automatic_ipv6: has_automatic_ipv6(&name),
        name,
        mac,
        mtu,
        up: header.flags.contains(LinkFlags::Up),
        no_arp: header.flags.contains(LinkFlags::Noarp),
    })
}

/// Without IPv6 there are no settings.
fn has_automatic_ipv6(name: &str) -> bool {
    let folder = Path::new(IPV6_SETTINGS).join(name);
    AUTOMATIC_IPV6.iter().any(|(setting, off)| {
        let value = fs::read_to_string(folder.join(setting));
        value.is_ok_and(|value| value.trim() != *off)
    })
}

fn address(message: &AddressMessage) -> Option<Address> {
    let header = &message.header;
    let ipv6 = is_ipv6(header.family)?;
    let (mut local, mut other, mut broadcast) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => other = Some(*address),
            AddressAttribute::Broadcast(address) => broadcast = Some(*address),
            _ => {}
        }
    }
    // Where both are there, the second is the other end's (ip-address(8), "peer").
    let address = local.or(other)?;
    Some(Address {
        prefix: Prefix {
            address,
            length: header.prefix_len,
        },
        peer: other.filter(|other| *other != address),
        broadcast,
        scope: if ipv6 { 0 } else { header.scope.into() },
    })
}

fn route(message: &RouteMessage, names: &Names) -> Option<Route> {
    let header = &message.header;
    let ipv6 = is_ipv6(header.address_family)?;
    // What the kernel has learned on the way, such as a smaller MTU.
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let mut route = Route {
        table: header.table.into(),
        kind: header.kind.into(),
        destination: Prefix {
            address: any(ipv6),
            length: header.destination_prefix_length,
        },
        gateway: None,
        interface: None,
        source: None,
        scope: if ipv6 { 0 } else { header.scope.into() },
        protocol: header.protocol.into(),
        on_link: header.flags.contains(RouteFlags::Onlink),
        priority: 0,
        mtu: 0,
        advertised_mss: 0,
        tos: header.tos,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Destination(address) => {
                route.destination.address = ip(address)?;
            }
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => route.gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => {
                route.gateway = Some((*address).into());
            }
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Oif(index) => route.interface = Some(name_of(names, *index)),
            RouteAttribute::Priority(priority) => route.priority = *priority,
            RouteAttribute::Metrics(metrics) => read_metrics(metrics, &mut route),
            _ => {}
        }
    }
    if !LEADS_SOMEWHERE.contains(&route.kind) {
        route.interface = None;
    }
    Some(route)
}

fn read_metrics(metrics: &[RouteMetric], route: &mut Route) {
    for metric in metrics {
        match metric {
            RouteMetric::Mtu(mtu) => route.mtu = *mtu,
            RouteMetric::Advmss(advertised_mss) => route.advertised_mss = *advertised_mss,
            _ => {}
        }
    }
}

fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    let mut rule = Rule {
        priority: 0,
        ipv6: is_ipv6(header.family)?,
        action: header.action.into(),
        table: header.table.into(),
        source: None,
        destination: None,
        input_interface: None,
        output_interface: None,
        mark: None,
        inverted: header.flags.contains(RuleFlags::Invert),
        suppress_prefix_length: None,
        special: header.tos != 0,
    };
    let (mut mark, mut mask) = (0, 0);
    let selector = |address: &IpAddr, length| {
        Some(Prefix {
            address: *address,
            length,
        })
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Source(address) => rule.source = selector(address, header.src_len),
            RuleAttribute::Destination(address) => {
                rule.destination = selector(address, header.dst_len);
            }
            RuleAttribute::Iifname(name) => rule.input_interface = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.output_interface = Some(name.clone()),
            RuleAttribute::FwMark(value) => mark = *value,
            RuleAttribute::FwMask(value) => mask = *value,
            // -1: none are suppressed.
            RuleAttribute::SuppressPrefixLen(u32::MAX)
            | RuleAttribute::SuppressIfGroup(u32::MAX)
            | RuleAttribute::Protocol(_) => {}
            RuleAttribute::SuppressPrefixLen(length) => rule.suppress_prefix_length = Some(*length),
            _ => rule.special = true,
        }
    }
    rule.mark = (mask != 0).then_some((mark & mask, mask));
    Some(rule)
}

fn neighbour(message: &NeighbourMessage, names: &Names) -> Option<Neighbour> {
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some(IpAddr::from(*ip));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some(IpAddr::from(*ip));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = Mac::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    Some(Neighbour {
        interface: name_of(names, message.header.ifindex),
        address: address?,
        mac: mac?,
    })
}

/// None for families that a pod's network does not have.
fn is_ipv6(family: AddressFamily) -> Option<bool> {
    match family {
        AddressFamily::Inet => Some(false),
        AddressFamily::Inet6 => Some(true),
        _ => None,
    }
}

fn any(ipv6: bool) -> IpAddr {
    if ipv6 {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
