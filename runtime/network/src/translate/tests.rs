//! From dumps to what the guest is told.

use std::net::IpAddr;

use model::{Address, Rule};
use rtnetlink::packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMetric, RouteNextHop, RouteScope, RouteType,
        RouteVia,
    },
    rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
};

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 5]);
const ETH0: u32 = 2;
const MAIN: u32 = 254;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: ip(address),
        length: length.parse().unwrap(),
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn link(index: u32, name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.header.flags = LinkFlags::Up;
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Address(MAC.0.to_vec()),
    ];
    message
}

fn address(on: u32, text: &str) -> AddressMessage {
    let at = prefix(text);
    let mut message = AddressMessage::default();
    message.header.family = family(at.address);
    message.header.prefix_len = at.length;
    message.header.index = on;
    message.attributes = vec![AddressAttribute::Address(at.address)];
    if at.address.is_ipv4() {
        message.attributes.push(AddressAttribute::Local(at.address));
    }
    message
}

fn route(to: &str, protocol: RouteProtocol, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let to = prefix(to);
    let mut message = RouteMessage::default();
    message.header.address_family = family(to.address);
    message.header.destination_prefix_length = to.length;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = protocol;
    message.header.kind = RouteType::Unicast;
    message.attributes = attributes;
    if to.length > 0 {
        let destination = RouteAttribute::Destination(to.address.into());
        message.attributes.push(destination);
    }
    message
}

fn gateway(text: &str) -> RouteAttribute {
    RouteAttribute::Gateway(RouteAddress::from(ip(text)))
}

/// The model's default route values, for a test to change.
fn expected(to: &str) -> Route {
    Route {
        table: MAIN,
        kind: RouteKind::Unicast,
        destination: prefix(to),
        gateway: None,
        interface: Some("eth0".to_owned()),
        source: None,
        scope: 0,
        protocol: 3,
        on_link: false,
        priority: 0,
        mtu: 0,
        advertised_mss: 0,
    }
}

/// As the bridge plugin leaves it, with both families.
fn bridge() -> Dump {
    let on = RouteAttribute::Oif(ETH0);
    let mut lo = link(1, "lo");
    lo.header.flags |= LinkFlags::Loopback;
    let mut own = route("10.0.0.5/32", RouteProtocol::Kernel, vec![on.clone()]);
    own.header.kind = RouteType::Local;
    own.header.table = 255;
    Dump {
        links: vec![lo, link(ETH0, "eth0")],
        addresses: vec![
            address(1, "127.0.0.1/8"),
            address(1, "::1/128"),
            address(ETH0, "10.0.0.5/24"),
            address(ETH0, "fd00::5/64"),
            address(ETH0, "fe80::ff:fe00:5/64"),
        ],
        routes: vec![
            route(
                "0.0.0.0/0",
                RouteProtocol::Boot,
                vec![on.clone(), gateway("10.0.0.1")],
            ),
            route("10.0.0.0/24", RouteProtocol::Kernel, vec![on.clone()]),
            own,
            route("fd00::/64", RouteProtocol::Kernel, vec![on.clone()]),
            route("fe80::/64", RouteProtocol::Kernel, vec![on.clone()]),
            route("::/0", RouteProtocol::Boot, vec![on, gateway("fd00::1")]),
        ],
        ..Dump::default()
    }
}

fn addresses_of(dump: &Dump) -> Vec<Address> {
    let plan = translate(dump).unwrap();
    plan.network.interfaces[0].addresses.clone()
}

fn one_route(message: RouteMessage) -> Result<Vec<Route>, TranslateError> {
    let mut dump = bridge();
    dump.routes = vec![message];
    translate(&dump).map(|plan| plan.network.routes)
}

#[test]
fn network_of_the_bridge_plugin_is_told_without_what_the_guest_makes_itself() {
    let plan = translate(&bridge()).unwrap();
    let plain = |text: &str| Address {
        prefix: prefix(text),
        peer: None,
        broadcast: None,
        scope: 0,
    };
    let interface = Interface {
        name: "eth0".to_owned(),
        mac: MAC,
        mtu: 1500,
        no_arp: false,
        addresses: vec![plain("10.0.0.5/24"), plain("fd00::5/64")],
    };
    let through = |to: &str, gateway: &str| Route {
        gateway: Some(ip(gateway)),
        ..expected(to)
    };
    assert_eq!(plan.network.interfaces, [interface]);
    let routes = [through("0.0.0.0/0", "10.0.0.1"), through("::/0", "fd00::1")];
    assert_eq!(plan.network.routes, routes);
    assert_eq!(plan.links.len(), 1);
    assert_eq!(plan.links[0].index, ETH0);
}

#[test]
fn address_keeps_peer_broadcast_and_scope() {
    let mut dump = bridge();
    let mut message = address(ETH0, "10.0.0.1/32");
    message.header.scope = 253.into();
    message.attributes = vec![
        AddressAttribute::Local("10.0.0.5".parse().unwrap()),
        AddressAttribute::Address("10.0.0.1".parse().unwrap()),
        AddressAttribute::Broadcast("10.0.0.255".parse().unwrap()),
    ];
    dump.addresses = vec![message];
    let expect = Address {
        prefix: prefix("10.0.0.5/32"),
        peer: Some(ip("10.0.0.1")),
        broadcast: Some(ip("10.0.0.255")),
        scope: 253,
    };
    assert_eq!(addresses_of(&dump), [expect]);
}

#[test]
fn address_whose_network_route_was_taken_away_has_no_network_in_the_guest() {
    let mut dump = bridge();
    let of_kernel = |route: &RouteMessage| route.header.protocol == RouteProtocol::Kernel;
    dump.routes.retain(|route| !of_kernel(route));
    let told: Vec<Prefix> = addresses_of(&dump).iter().map(|one| one.prefix).collect();
    assert_eq!(told, [prefix("10.0.0.5/32"), prefix("fd00::5/128")]);
}

#[test]
fn link_local_address_that_a_plugin_chose_is_told_and_one_of_the_kernel_is_not() {
    let mut dump = bridge();
    let mut stable = address(ETH0, "fe80::1234/64");
    stable.attributes.push(AddressAttribute::Protocol(3.into()));
    dump.addresses = vec![address(ETH0, "fe80::ecee/64"), stable];
    let told: Vec<Prefix> = addresses_of(&dump).iter().map(|one| one.prefix).collect();
    assert_eq!(told, [prefix("fe80::ecee/64")]);
}

#[test]
fn duplicate_address_is_an_error() {
    let mut dump = bridge();
    let mut message = address(ETH0, "fd00::5/64");
    message
        .attributes
        .push(AddressAttribute::Flags(AddressFlags::Dadfailed));
    dump.addresses = vec![message];
    let error = translate(&dump).unwrap_err().to_string();
    assert!(
        error.contains("fd00::5/64 of eth0 is another host's too"),
        "{error}"
    );
}

#[test]
fn route_is_told_whole() {
    let mut message = route(
        "192.0.2.0/24",
        RouteProtocol::Static,
        vec![
            RouteAttribute::Oif(ETH0),
            RouteAttribute::Table(1000),
            RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap())),
            RouteAttribute::PrefSource(ip("10.0.0.5").into()),
            RouteAttribute::Priority(7),
            RouteAttribute::Metrics(vec![
                RouteMetric::Mtu(1400),
                RouteMetric::Advmss(1360),
                RouteMetric::InitCwnd(3),
            ]),
        ],
    );
    message.header.scope = RouteScope::Link;
    message.header.flags = RouteFlags::Onlink;
    let expect = Route {
        table: 1000,
        gateway: Some(ip("fe80::1")),
        source: Some(ip("10.0.0.5")),
        scope: 253,
        protocol: 4,
        on_link: true,
        priority: 7,
        mtu: 1400,
        advertised_mss: 1360,
        ..expected("192.0.2.0/24")
    };
    assert_eq!(one_route(message).unwrap(), [expect]);
}

#[test]
fn way_to_a_gateway_comes_before_the_routes_through_it() {
    let mut dump = bridge();
    let on = RouteAttribute::Oif(ETH0);
    dump.routes = vec![
        route(
            "0.0.0.0/0",
            RouteProtocol::Boot,
            vec![on.clone(), gateway("169.254.1.1")],
        ),
        route("169.254.1.1/32", RouteProtocol::Boot, vec![on]),
    ];
    let routes = translate(&dump).unwrap().network.routes;
    let order: Vec<Prefix> = routes.iter().map(|route| route.destination).collect();
    assert_eq!(order, [prefix("169.254.1.1/32"), prefix("0.0.0.0/0")]);
}

#[test]
fn route_that_leads_nowhere_has_no_interface_and_one_of_a_lost_link_is_left_out() {
    let mut nowhere = route(
        "fd01::/64",
        RouteProtocol::Boot,
        vec![RouteAttribute::Oif(1)],
    );
    nowhere.header.kind = RouteType::Unreachable;
    let expect = Route {
        kind: RouteKind::Unreachable,
        interface: None,
        ..expected("fd01::/64")
    };
    assert_eq!(one_route(nowhere).unwrap(), [expect]);
    let elsewhere = route(
        "fd01::/64",
        RouteProtocol::Boot,
        vec![RouteAttribute::Oif(9)],
    );
    assert_eq!(one_route(elsewhere).unwrap(), []);
    let mut own = route(
        "10.9.0.0/16",
        RouteProtocol::Boot,
        vec![RouteAttribute::Oif(1)],
    );
    own.header.kind = RouteType::Local;
    let expect = Route {
        kind: RouteKind::Local,
        interface: Some("lo".to_owned()),
        ..expected("10.9.0.0/16")
    };
    assert_eq!(one_route(own).unwrap(), [expect]);
}

#[test]
fn route_that_no_guest_can_be_told_is_named() {
    let check = |change: fn(&mut RouteMessage), reason: &str| {
        let mut message = route(
            "192.0.2.0/24",
            RouteProtocol::Boot,
            vec![RouteAttribute::Oif(ETH0)],
        );
        change(&mut message);
        let error = one_route(message).unwrap_err().to_string();
        let expect = format!("the route to 192.0.2.0/24 has {reason}");
        assert!(error.starts_with(&expect), "{error}");
    };
    check(
        |route| {
            let hop = RouteNextHop::default();
            route
                .attributes
                .insert(0, RouteAttribute::MultiPath(vec![hop]));
        },
        "several next hops",
    );
    check(|route| route.header.tos = 8, "a type of service");
    check(
        |route| route.header.source_prefix_length = 64,
        "a source prefix",
    );
    check(|route| route.header.kind = RouteType::Nat, "a kind");
}

fn rule(attributes: Vec<RuleAttribute>) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = RuleAction::ToTable;
    message.header.src_len = 32;
    message.header.dst_len = 16;
    message.attributes = attributes;
    message
}

fn rules(message: RuleMessage) -> Result<Vec<Rule>, TranslateError> {
    let mut dump = bridge();
    dump.rules = vec![message];
    translate(&dump).map(|plan| plan.network.rules)
}

#[test]
fn rule_is_told_whole() {
    let mut message = rule(vec![
        RuleAttribute::Priority(512),
        RuleAttribute::Table(1000),
        RuleAttribute::Source(ip("10.0.0.5")),
        RuleAttribute::Destination(ip("10.1.0.0")),
        RuleAttribute::Iifname("eth0".to_owned()),
        RuleAttribute::Oifname("net1".to_owned()),
        RuleAttribute::FwMark(4),
        RuleAttribute::FwMask(255),
        RuleAttribute::SuppressPrefixLen(0),
        RuleAttribute::Protocol(RouteProtocol::Boot),
    ]);
    message.header.flags = RuleFlags::Invert;
    let expect = Rule {
        priority: 512,
        ipv6: false,
        action: 1,
        table: 1000,
        source: Some(prefix("10.0.0.5/32")),
        destination: Some(prefix("10.1.0.0/16")),
        input_interface: Some("eth0".to_owned()),
        output_interface: Some("net1".to_owned()),
        mark: Some((4, 255)),
        inverted: true,
        suppress_prefix_length: Some(0),
    };
    assert_eq!(rules(message).unwrap(), [expect]);
}

#[test]
fn rules_of_the_kernel_are_left_out_and_unset_values_stay_unset() {
    let protocol = RuleAttribute::Protocol(RouteProtocol::Kernel);
    let kernels = vec![
        RuleAttribute::Priority(32766),
        RuleAttribute::Table(254),
        protocol,
    ];
    assert_eq!(rules(rule(kernels)).unwrap(), []);
    let plain = rule(vec![
        RuleAttribute::Priority(5),
        RuleAttribute::SuppressPrefixLen(u32::MAX),
    ]);
    let told = rules(plain).unwrap();
    assert_eq!(told[0].suppress_prefix_length, None);
    assert_eq!(told[0].mark, None);
}

#[test]
fn rule_that_no_guest_can_be_told_is_named() {
    let check = |message: RuleMessage, reason: &str| {
        let error = rules(message).unwrap_err().to_string();
        assert!(
            error.contains("priority 9") && error.contains(reason),
            "{error}"
        );
    };
    let priority = RuleAttribute::Priority(9);
    let l3mdev = RuleAttribute::L3MDev(true);
    check(rule(vec![l3mdev, priority.clone()]), "L3MDev");
    let mut goto = rule(vec![priority.clone()]);
    goto.header.action = RuleAction::Goto;
    check(goto, "Goto");
    let mut tos = rule(vec![priority]);
    tos.header.tos = 16;
    check(tos, "a type of service");
}

#[test]
fn permanent_neighbours_are_told() {
    let neighbour = |on, state, mac: Vec<u8>| {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = on;
        message.header.state = state;
        let gateway = NeighbourAddress::Inet("169.254.1.1".parse().unwrap());
        message.attributes = vec![
            NeighbourAttribute::Destination(gateway),
            NeighbourAttribute::LinkLayerAddress(mac),
        ];
        message
    };
    let mut dump = bridge();
    dump.neighbours = vec![
        neighbour(ETH0, NeighbourState::Permanent, vec![0xee; 6]),
        neighbour(ETH0, NeighbourState::Reachable, vec![0xee; 6]),
        neighbour(ETH0, NeighbourState::Permanent, vec![]),
        neighbour(9, NeighbourState::Permanent, vec![0xee; 6]),
    ];
    let expect = Neighbour {
        interface: "eth0".to_owned(),
        address: ip("169.254.1.1"),
        mac: Mac([0xee; 6]),
    };
    assert_eq!(translate(&dump).unwrap().network.neighbours, [expect]);
}

#[test]
fn network_of_an_address_has_zeroes_behind_its_prefix() {
    for (address, network) in [
        ("10.1.2.3/24", "10.1.2.0/24"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("10.1.2.3/32", "10.1.2.3/32"),
        ("10.1.2.3/31", "10.1.2.2/31"),
        ("fd00:1:2:3::4/64", "fd00:1:2:3::/64"),
        ("fd00::1/0", "::/0"),
        ("fd00::1/128", "fd00::1/128"),
    ] {
        assert_eq!(
            addresses::network(prefix(address)),
            prefix(network),
            "{address}"
        );
    }
}
