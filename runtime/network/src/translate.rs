//! From what the kernel says about a namespace to what its guest is told and which taps it needs. Main type: [`Plan`]; [`translate`] is
//! pure. What a guest can't be told is an error that names it: a pod whose packets go other ways than the plugin meant is worse than one
//! that doesn't start.

use std::collections::{BTreeMap, BTreeSet};

use model::{Interface, Mac, Neighbour, PodNetwork, Prefix, Route, RouteKind};
use rtnetlink::packet_route::{
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteHeader, RouteMessage, RouteProtocol},
};
use thiserror::Error;

use crate::{
    addresses,
    dump::Dump,
    links::{self, LinkError, LinkPlan},
    routes, rules,
};

/// A pod's network, on both sides of its taps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For the guest.
    pub network: PodNetwork,
    /// For the node: a link for each interface of the guest, in the same order.
    pub links: Vec<LinkPlan>,
}

/// A namespace that no guest can have.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TranslateError {
    /// A link.
    #[error("give the guest the links of its network namespace")]
    Link(#[from] LinkError),
    /// A route.
    #[error("the route to {destination} has {what}, which a guest can't be told yet")]
    Route {
        /// Where it leads to.
        destination: Prefix,
        /// What is in the way.
        what: &'static str,
    },
    /// A rule.
    #[error("the policy rule with priority {priority} has {what}, which a guest can't be told yet")]
    Rule {
        /// Its priority.
        priority: u32,
        /// What is in the way.
        what: String,
    },
    /// Another host has the pod's address.
    #[error(
        "address {address} of {link} is another host's too: duplicate address detection failed"
    )]
    Duplicate {
        /// The address.
        address: Prefix,
        /// The link.
        link: String,
    },
}

/// Decides what the guest is told, and which taps it needs.
///
/// # Errors
/// Where the namespace has what a guest can't be given.
pub fn translate(dump: &Dump) -> Result<Plan, TranslateError> {
    let found: Vec<addresses::Found> = dump.addresses.iter().filter_map(addresses::read).collect();
    // A link's Ethernet address is known only once the link is chosen; before that, any address that the kernel may have made itself
    // doesn't count.
    let given = |found: &&addresses::Found| !found.by_kernel && !is_link_local(found);
    let addressed: BTreeSet<u32> = found.iter().filter(given).map(|found| found.link).collect();
    let links = links::plan(&dump.links, &addressed)?;
    let networks = network_routes(&dump.routes);
    let mut interfaces = Vec::new();
    for link in &links {
        interfaces.push(interface(link, &found, &networks)?);
    }
    let names: BTreeMap<u32, &str> = links
        .iter()
        .map(|link| (link.index, link.name.as_str()))
        .collect();
    let network = PodNetwork {
        interfaces,
        routes: all_routes(&dump.routes, &names)?,
        rules: all_rules(dump)?,
        neighbours: all_neighbours(&dump.neighbours, &names),
    };
    Ok(Plan { network, links })
}

fn is_link_local(found: &addresses::Found) -> bool {
    match found.address.prefix.address {
        std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
        std::net::IpAddr::V4(_) => false,
    }
}

/// The networks to which the kernel made routes, by link.
fn network_routes(routes: &[RouteMessage]) -> BTreeSet<(u32, String)> {
    let of_kernel = routes.iter().filter(|route| {
        route.header.protocol == RouteProtocol::Kernel
            && route.header.table == RouteHeader::RT_TABLE_MAIN
    });
    of_kernel
        .filter_map(|route| routes::read(route)?.ok())
        .filter(|found| found.route.kind == RouteKind::Unicast)
        .filter_map(|found| Some((found.link?, found.route.destination.to_string())))
        .collect()
}

fn interface(
    link: &LinkPlan,
    found: &[addresses::Found],
    networks: &BTreeSet<(u32, String)>,
) -> Result<Interface, TranslateError> {
    let mut addresses = Vec::new();
    for found in found.iter().filter(|found| found.link == link.index) {
        if found.duplicate {
            return Err(TranslateError::Duplicate {
                address: found.address.prefix,
                link: link.name.clone(),
            });
        }
        if !found.is_automatic(Some(link.mac)) {
            let network = addresses::network(found.address.prefix).to_string();
            let has_route = networks.contains(&(link.index, network));
            addresses.push(addresses::translate(found.address, has_route));
        }
    }
    Ok(Interface {
        name: link.name.clone(),
        mac: link.mac,
        mtu: link.mtu,
        no_arp: link.no_arp,
        addresses,
    })
}

/// Those through a gateway last: the way to the gateway is there by then.
fn all_routes(
    messages: &[RouteMessage],
    names: &BTreeMap<u32, &str>,
) -> Result<Vec<Route>, TranslateError> {
    let mut all = Vec::new();
    for message in messages.iter().filter(|route| !routes::is_automatic(route)) {
        let Some(read) = routes::read(message) else {
            continue;
        };
        let found =
            read.map_err(|(destination, what)| TranslateError::Route { destination, what })?;
        all.extend(placed(&found, names));
    }
    all.sort_by_key(|route: &Route| route.gateway.is_some());
    Ok(all)
}

/// The route with its interface's name; none where the guest doesn't get that link.
fn placed(found: &routes::Found, names: &BTreeMap<u32, &str>) -> Option<Route> {
    let interface = match found.route.kind {
        RouteKind::Unicast => Some(*names.get(&found.link?)?),
        // Of the guest's own addresses; the kernel names lo for those that are on no link.
        RouteKind::Local => Some(
            found
                .link
                .and_then(|link| names.get(&link))
                .map_or("lo", |name| *name),
        ),
        // IPv6 names lo for those that lead nowhere.
        RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw => {
            None
        }
    };
    Some(Route {
        interface: interface.map(str::to_owned),
        ..found.route.clone()
    })
}

fn all_rules(dump: &Dump) -> Result<Vec<model::Rule>, TranslateError> {
    let read = dump.rules.iter().filter_map(rules::read);
    read.map(|rule| rule.map_err(|(priority, what)| TranslateError::Rule { priority, what }))
        .collect()
}

fn all_neighbours(messages: &[NeighbourMessage], names: &BTreeMap<u32, &str>) -> Vec<Neighbour> {
    let permanent = messages
        .iter()
        .filter(|message| message.header.state == NeighbourState::Permanent);
    permanent
        .filter_map(|message| neighbour(message, names))
        .collect()
}

/// None for what has no IP address or no Ethernet address, and for links that the guest doesn't get.
fn neighbour(message: &NeighbourMessage, names: &BTreeMap<u32, &str>) -> Option<Neighbour> {
    let name = names.get(&message.header.ifindex)?;
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some((*ip).into())
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some((*ip).into())
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.clone().try_into().ok(),
            _ => {}
        }
    }
    Some(Neighbour {
        interface: (*name).to_owned(),
        address: address?,
        mac: Mac(mac?),
    })
}

#[cfg(test)]
mod tests;
