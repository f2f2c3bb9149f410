//! A pod's network as agent.proto has it: `model`'s words to the message. Pure. Main function: [`to_wire`].

use std::net::IpAddr;

use agent::agent as wire;
use model::{Address, Interface, Neighbour, PodNetwork, Prefix, Route, RouteKind, Rule};

/// The whole network.
pub(crate) fn to_wire(network: &PodNetwork) -> wire::Network {
    wire::Network {
        interfaces: network.interfaces.iter().map(interface).collect(),
        routes: network.routes.iter().map(route).collect(),
        rules: network.rules.iter().map(rule).collect(),
        neighbours: network.neighbours.iter().map(neighbour).collect(),
        ..wire::Network::default()
    }
}

fn interface(interface: &Interface) -> wire::NetworkInterface {
    let Interface {
        name,
        mac,
        mtu,
        no_arp,
        addresses,
    } = interface;
    wire::NetworkInterface {
        name: name.clone(),
        mac: mac.0.to_vec(),
        mtu: *mtu,
        no_arp: *no_arp,
        addresses: addresses.iter().map(address).collect(),
        ..wire::NetworkInterface::default()
    }
}

fn address(address: &Address) -> wire::InterfaceAddress {
    let Address {
        prefix,
        peer,
        broadcast,
        scope,
    } = *address;
    wire::InterfaceAddress {
        address: bytes(Some(prefix.address)),
        prefix_length: prefix.length.into(),
        peer: bytes(peer),
        broadcast: bytes(broadcast),
        scope: scope.into(),
        ..wire::InterfaceAddress::default()
    }
}

fn route(route: &Route) -> wire::Route {
    let Route {
        table,
        kind,
        destination,
        gateway,
        interface,
        source,
        scope,
        protocol,
        on_link,
        priority,
        mtu,
        advertised_mss,
    } = route;
    wire::Route {
        table: *table,
        kind: number_of(*kind),
        destination: bytes(Some(destination.address)),
        prefix_length: destination.length.into(),
        gateway: bytes(*gateway),
        interface: interface.clone().unwrap_or_default(),
        source: bytes(*source),
        scope: (*scope).into(),
        protocol: (*protocol).into(),
        on_link: *on_link,
        priority: *priority,
        mtu: *mtu,
        advertised_mss: *advertised_mss,
        ..wire::Route::default()
    }
}

/// RTN_* of linux/rtnetlink.h.
fn number_of(kind: RouteKind) -> u32 {
    match kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
    }
}

fn rule(rule: &Rule) -> wire::Rule {
    let Rule {
        priority,
        ipv6,
        action,
        table,
        source,
        destination,
        input_interface,
        output_interface,
        mark,
        inverted,
        suppress_prefix_length,
    } = rule;
    let (mark, mark_mask) = mark.unwrap_or_default();
    let length = |prefix: &Option<Prefix>| prefix.map_or(0, |prefix| prefix.length.into());
    let address = |prefix: &Option<Prefix>| bytes(prefix.map(|prefix| prefix.address));
    wire::Rule {
        priority: *priority,
        ipv6: *ipv6,
        action: (*action).into(),
        table: *table,
        source: address(source),
        source_prefix_length: length(source),
        destination: address(destination),
        destination_prefix_length: length(destination),
        input_interface: input_interface.clone().unwrap_or_default(),
        output_interface: output_interface.clone().unwrap_or_default(),
        mark,
        mark_mask,
        inverted: *inverted,
        suppress_prefix_length_plus_one: suppress_prefix_length
            .map_or(0, |length| length.saturating_add(1)),
        ..wire::Rule::default()
    }
}

fn neighbour(neighbour: &Neighbour) -> wire::Neighbour {
    let Neighbour {
        interface,
        address,
        mac,
    } = neighbour;
    wire::Neighbour {
        interface: interface.clone(),
        address: bytes(Some(*address)),
        mac: mac.0.to_vec(),
        ..wire::Neighbour::default()
    }
}

/// In network order; none of a missing one.
fn bytes(address: Option<IpAddr>) -> Vec<u8> {
    match address {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests;
