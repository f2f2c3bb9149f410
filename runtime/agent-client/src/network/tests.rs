//! The message and back again: nothing of a network is lost on the way.

use agent::agent as wire;
use model::{Address, Interface, Mac, Neighbour, PodNetwork, Prefix, Route, RouteKind, Rule};
use std::net::IpAddr;

use super::to_wire;

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn route(kind: RouteKind) -> Route {
    Route {
        table: 254,
        kind,
        destination: prefix("10.0.0.0/8"),
        gateway: None,
        interface: None,
        source: None,
        scope: 253,
        protocol: 4,
        on_link: false,
        priority: 0,
        mtu: 0,
        advertised_mss: 0,
    }
}

fn rules() -> Vec<Rule> {
    let plain = Rule {
        priority: 100,
        ipv6: false,
        action: 1,
        table: 7,
        source: None,
        destination: None,
        input_interface: None,
        output_interface: None,
        mark: None,
        inverted: false,
        suppress_prefix_length: None,
    };
    let full = Rule {
        priority: 101,
        ipv6: true,
        source: Some(prefix("fd00::/8")),
        destination: Some(prefix("::/0")),
        input_interface: Some("eth0".into()),
        output_interface: Some("net1".into()),
        mark: Some((0, 0xff)),
        inverted: true,
        suppress_prefix_length: Some(0),
        ..plain.clone()
    };
    vec![plain, full]
}

fn network() -> PodNetwork {
    let kinds = [
        RouteKind::Unicast,
        RouteKind::Local,
        RouteKind::Blackhole,
        RouteKind::Unreachable,
        RouteKind::Prohibit,
        RouteKind::Throw,
    ];
    let mut routes: Vec<Route> = kinds.into_iter().map(route).collect();
    routes.push(Route {
        table: 1007,
        destination: prefix("0.0.0.0/0"),
        gateway: Some("fe80::1".parse().unwrap()),
        interface: Some("eth0".into()),
        source: Some("10.0.0.2".parse().unwrap()),
        on_link: true,
        priority: 7,
        mtu: 1400,
        advertised_mss: 1360,
        ..route(RouteKind::Unicast)
    });
    PodNetwork {
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1450,
            no_arp: true,
            addresses: vec![
                Address {
                    prefix: prefix("10.0.0.2/24"),
                    peer: Some("10.0.0.1".parse().unwrap()),
                    broadcast: Some("10.0.0.255".parse().unwrap()),
                    scope: 254,
                },
                Address {
                    prefix: prefix("fd00::2/64"),
                    peer: None,
                    broadcast: None,
                    scope: 0,
                },
            ],
        }],
        routes,
        rules: rules(),
        neighbours: vec![Neighbour {
            interface: "eth0".into(),
            address: "169.254.1.1".parse().unwrap(),
            mac: Mac([0xee; 6]),
        }],
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        0 => None,
        4 => Some(<[u8; 4]>::try_from(bytes).unwrap().into()),
        _ => Some(<[u8; 16]>::try_from(bytes).unwrap().into()),
    }
}

fn byte(number: u32) -> u8 {
    number.try_into().unwrap()
}

fn mac(bytes: &[u8]) -> Mac {
    Mac(bytes.try_into().unwrap())
}

fn name(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

fn from_address(address: &wire::InterfaceAddress) -> Address {
    Address {
        prefix: from_prefix(&address.address, address.prefix_length).unwrap(),
        peer: ip(&address.peer),
        broadcast: ip(&address.broadcast),
        scope: byte(address.scope),
    }
}

fn from_prefix(address: &[u8], length: u32) -> Option<Prefix> {
    let length = byte(length);
    ip(address).map(|address| Prefix { address, length })
}

fn from_route(route: &wire::Route) -> Route {
    Route {
        table: route.table,
        kind: match route.kind {
            1 => RouteKind::Unicast,
            2 => RouteKind::Local,
            6 => RouteKind::Blackhole,
            7 => RouteKind::Unreachable,
            8 => RouteKind::Prohibit,
            9 => RouteKind::Throw,
            other => panic!("{other}"),
        },
        destination: from_prefix(&route.destination, route.prefix_length).unwrap(),
        gateway: ip(&route.gateway),
        interface: name(&route.interface),
        source: ip(&route.source),
        scope: byte(route.scope),
        protocol: byte(route.protocol),
        on_link: route.on_link,
        priority: route.priority,
        mtu: route.mtu,
        advertised_mss: route.advertised_mss,
    }
}

fn from_rule(rule: &wire::Rule) -> Rule {
    Rule {
        priority: rule.priority,
        ipv6: rule.ipv6,
        action: byte(rule.action),
        table: rule.table,
        source: from_prefix(&rule.source, rule.source_prefix_length),
        destination: from_prefix(&rule.destination, rule.destination_prefix_length),
        input_interface: name(&rule.input_interface),
        output_interface: name(&rule.output_interface),
        mark: (rule.mark_mask != 0).then_some((rule.mark, rule.mark_mask)),
        inverted: rule.inverted,
        suppress_prefix_length: rule.suppress_prefix_length_plus_one.checked_sub(1),
    }
}

fn from_wire(network: &wire::Network) -> PodNetwork {
    let interface = |interface: &wire::NetworkInterface| Interface {
        name: interface.name.clone(),
        mac: mac(&interface.mac),
        mtu: interface.mtu,
        no_arp: interface.no_arp,
        addresses: interface.addresses.iter().map(from_address).collect(),
    };
    let neighbour = |neighbour: &wire::Neighbour| Neighbour {
        interface: neighbour.interface.clone(),
        address: ip(&neighbour.address).unwrap(),
        mac: mac(&neighbour.mac),
    };
    PodNetwork {
        interfaces: network.interfaces.iter().map(interface).collect(),
        routes: network.routes.iter().map(from_route).collect(),
        rules: network.rules.iter().map(from_rule).collect(),
        neighbours: network.neighbours.iter().map(neighbour).collect(),
    }
}

#[test]
fn network_comes_back_as_it_went() {
    for network in [network(), PodNetwork::default()] {
        assert_eq!(from_wire(&to_wire(&network)), network);
    }
}

#[test]
fn addresses_are_in_network_order() {
    let wire = to_wire(&network());
    assert_eq!(wire.interfaces[0].addresses[0].address, [10, 0, 0, 2]);
    assert_eq!(wire.interfaces[0].mac, [2, 0, 0, 0, 0, 1]);
    assert_eq!(wire.rules[1].suppress_prefix_length_plus_one, 1);
}
