//! A step as the message that has the kernel take it. Main function: [`carry_out`].

use std::{fs, io, net::IpAddr, path::Path};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage as Message,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage},
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteVia},
    rule::{RuleAttribute, RuleFlags, RuleMessage},
};

use super::{
    netlink::{Change, Netlink},
    plan::{LinkChange, Step},
    read::{AUTOMATIC_IPV6, IPV6_SETTINGS},
    state::{Address, Link, Neighbour, Present, Route, Rule},
};

/// Takes one step. `present` tells the numbers of interfaces.
pub(super) async fn carry_out(
    step: &Step,
    present: &Present,
    netlink: &mut Netlink,
) -> io::Result<()> {
    let (message, change) = match step {
        Step::Link { link, change } => match link_message(link, change) {
            Some(message) => (Message::SetLink(message), Change::Edit),
            None => return no_automatic_ipv6(&link.name),
        },
        Step::RemoveAddress { link, address } => (
            Message::DelAddress(address_message(link, address)),
            Change::Edit,
        ),
        Step::AddAddress { link, address } => (
            Message::NewAddress(address_message(link, address)),
            Change::Add,
        ),
        Step::RemoveRoute(route) => (
            Message::DelRoute(route_message(route, present)?),
            Change::Edit,
        ),
        // In the place of one that the kernel has made for an address with the same key, as CNI's ptp plugin and others have it.
        Step::AddRoute(route) => (
            Message::NewRoute(route_message(route, present)?),
            Change::Put,
        ),
        Step::RemoveRule(rule) => (Message::DelRule(rule_message(rule)), Change::Edit),
        Step::AddRule(rule) => (Message::NewRule(rule_message(rule)), Change::Add),
        Step::RemoveNeighbour(neighbour) => (
            Message::DelNeighbour(neighbour_message(neighbour, present)?),
            Change::Edit,
        ),
        Step::AddNeighbour(neighbour) => (
            Message::NewNeighbour(neighbour_message(neighbour, present)?),
            Change::Put,
        ),
    };
    netlink.change(message, change).await
}

/// None for the one change that is no message.
fn link_message(link: &Link, change: &LinkChange) -> Option<LinkMessage> {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    let mut flag = |flag: LinkFlags, on| {
        message.header.change_mask = flag;
        if on {
            message.header.flags = flag;
        }
    };
    match change {
        LinkChange::Down => flag(LinkFlags::Up, false),
        LinkChange::Up => flag(LinkFlags::Up, true),
        LinkChange::NoArp(on) => flag(LinkFlags::Noarp, *on),
        LinkChange::Rename(name) => message.attributes.push(LinkAttribute::IfName(name.clone())),
        LinkChange::Mtu(mtu) => message.attributes.push(LinkAttribute::Mtu(*mtu)),
        LinkChange::NoAutomaticIpv6 => return None,
    }
    Some(message)
}

/// A few bytes for the kernel, which does not wait for anything: no thread of its own.
fn no_automatic_ipv6(name: &str) -> io::Result<()> {
    let folder = Path::new(IPV6_SETTINGS).join(name);
    AUTOMATIC_IPV6
        .iter()
        .try_for_each(|(setting, off)| fs::write(folder.join(setting), off))
}

fn address_message(link: &Link, address: &Address) -> AddressMessage {
    let own = address.prefix.address;
    let mut message = AddressMessage::default();
    message.header.family = family(own);
    message.header.prefix_len = address.prefix.length;
    message.header.scope = address.scope.into();
    message.header.index = link.index;
    message.attributes.push(AddressAttribute::Local(own));
    let other = address.peer.unwrap_or(own);
    message.attributes.push(AddressAttribute::Address(other));
    if let Some(broadcast) = address.broadcast {
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    if own.is_ipv6() {
        // The host's end of the link has the address, too: detection would find a duplicate.
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

fn route_message(route: &Route, present: &Present) -> io::Result<RouteMessage> {
    let mut message = RouteMessage::default();
    let destination = route.destination;
    message.header.address_family = family(destination.address);
    message.header.destination_prefix_length = destination.length;
    message.header.tos = route.tos;
    message.header.protocol = route.protocol.into();
    message.header.scope = route.scope.into();
    message.header.kind = route.kind.into();
    if route.on_link {
        message.header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table));
    attributes.push(RouteAttribute::Destination(destination.address.into()));
    if let Some(gateway) = route.gateway {
        let same = gateway.is_ipv6() == destination.is_ipv6();
        attributes.push(match gateway {
            _ if same => RouteAttribute::Gateway(gateway.into()),
            // RFC 5549: an IPv4 route through an IPv6 neighbour.
            other => RouteAttribute::Via(RouteVia::from(other)),
        });
    }
    if let Some(name) = &route.interface {
        attributes.push(RouteAttribute::Oif(number_of(present, name)?));
    }
    if let Some(source) = route.source {
        attributes.push(RouteAttribute::PrefSource(source.into()));
    }
    if route.priority != 0 {
        attributes.push(RouteAttribute::Priority(route.priority));
    }
    let mut metrics = Vec::new();
    if route.mtu != 0 {
        metrics.push(RouteMetric::Mtu(route.mtu));
    }
    if route.advertised_mss != 0 {
        metrics.push(RouteMetric::Advmss(route.advertised_mss));
    }
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if rule.ipv6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    message.header.action = rule.action.into();
    if rule.inverted {
        message.header.flags = RuleFlags::Invert;
    }
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    if rule.table != 0 {
        attributes.push(RuleAttribute::Table(rule.table));
    }
    if let Some(source) = rule.source {
        message.header.src_len = source.length;
        attributes.push(RuleAttribute::Source(source.address));
    }
    if let Some(destination) = rule.destination {
        message.header.dst_len = destination.length;
        attributes.push(RuleAttribute::Destination(destination.address));
    }
    if let Some(name) = &rule.input_interface {
        attributes.push(RuleAttribute::Iifname(name.clone()));
    }
    if let Some(name) = &rule.output_interface {
        attributes.push(RuleAttribute::Oifname(name.clone()));
    }
    if let Some((mark, mask)) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.push(RuleAttribute::FwMask(mask));
    }
    if let Some(length) = rule.suppress_prefix_length {
        attributes.push(RuleAttribute::SuppressPrefixLen(length));
    }
    message
}

fn neighbour_message(neighbour: &Neighbour, present: &Present) -> io::Result<NeighbourMessage> {
    let mut message = NeighbourMessage::default();
    message.header.family = family(neighbour.address);
    message.header.ifindex = number_of(present, &neighbour.interface)?;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(neighbour.address.into()),
        NeighbourAttribute::LinkLayerAddress(neighbour.mac.to_vec()),
    ];
    Ok(message)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}

fn number_of(present: &Present, name: &str) -> io::Result<u32> {
    let link = present.links.iter().find(|link| link.name == name);
    link.map(|link| link.index)
        .ok_or_else(|| io::Error::other(format!("{name} has gone")))
}
