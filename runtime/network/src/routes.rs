//! The routes of a namespace, of all its tables, as a guest is to have them. Main function: [`read`], for one route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Prefix, Route, RouteKind};
use rtnetlink::packet_route::{
    AddressFamily,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol,
        RouteType, RouteVia,
    },
};

/// A route as it was read; its interface is still a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) route: Route,
    pub(crate) link: Option<u32>,
}

/// What a route has that no guest can be told yet.
pub(crate) type Unsupported = (Prefix, &'static str);

/// Who made a route, and so whether the guest's kernel makes it by itself: for an address (its network, its own table `local`), for what
/// it heard from a router, or as a copy of another route.
pub(crate) fn is_automatic(message: &RouteMessage) -> bool {
    message.header.flags.contains(RouteFlags::Cloned)
        || matches!(
            message.header.protocol,
            RouteProtocol::Kernel | RouteProtocol::Ra | RouteProtocol::IcmpRedirect
        )
}

/// None for routes of other families.
pub(crate) fn read(message: &RouteMessage) -> Option<Result<Found, Unsupported>> {
    let any = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let header = &message.header;
    let mut route = Route {
        table: header.table.into(),
        kind: RouteKind::Unicast,
        destination: Prefix {
            address: any,
            length: header.destination_prefix_length,
        },
        gateway: None,
        interface: None,
        source: None,
        scope: header.scope.into(),
        protocol: header.protocol.into(),
        on_link: header.flags.contains(RouteFlags::Onlink),
        priority: 0,
        mtu: 0,
        advertised_mss: 0,
    };
    let mut link = None;
    let mut unsupported = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => link = Some(*index),
            other => unsupported = unsupported.or(fill(&mut route, other)),
        }
    }
    match kind(header.kind) {
        Some(kind) => route.kind = kind,
        None => unsupported = Some("a kind that only kernels make"),
    }
    if header.tos != 0 {
        unsupported = Some("a type of service");
    }
    if header.source_prefix_length != 0 {
        unsupported = Some("a source prefix");
    }
    Some(match unsupported {
        Some(what) => Err((route.destination, what)),
        None => Ok(Found { route, link }),
    })
}

/// Puts one attribute in its place, or says what of the route can't be told to a guest. What only says how the kernel uses the
/// route, such as how old it is, is left out.
fn fill(route: &mut Route, attribute: &RouteAttribute) -> Option<&'static str> {
    match attribute {
        RouteAttribute::Destination(to) => route.destination.address = ip(to)?,
        RouteAttribute::Gateway(gateway) => route.gateway = ip(gateway),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => route.gateway = Some((*gateway).into()),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => route.gateway = Some((*gateway).into()),
        RouteAttribute::PrefSource(source) => route.source = ip(source),
        RouteAttribute::Table(table) => route.table = *table,
        RouteAttribute::Priority(priority) => route.priority = *priority,
        RouteAttribute::Metrics(metrics) => fill_metrics(route, metrics),
        RouteAttribute::MultiPath(_) => return Some("several next hops"),
        RouteAttribute::Encap(_) | RouteAttribute::EncapType(_) => return Some("an encapsulation"),
        RouteAttribute::Via(_) => return Some("a next hop of another family"),
        _ => {}
    }
    None
}

/// The metrics that change what is sent; the others tune TCP.
fn fill_metrics(route: &mut Route, metrics: &[RouteMetric]) {
    for metric in metrics {
        match metric {
            RouteMetric::Mtu(mtu) => route.mtu = *mtu,
            RouteMetric::Advmss(bytes) => route.advertised_mss = *bytes,
            _ => {}
        }
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn kind(kind: RouteType) -> Option<RouteKind> {
    match kind {
        RouteType::Unicast => Some(RouteKind::Unicast),
        RouteType::Local => Some(RouteKind::Local),
        RouteType::BlackHole => Some(RouteKind::Blackhole),
        RouteType::Unreachable => Some(RouteKind::Unreachable),
        RouteType::Prohibit => Some(RouteKind::Prohibit),
        RouteType::Throw => Some(RouteKind::Throw),
        _ => None,
    }
}
