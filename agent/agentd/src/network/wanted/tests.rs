//! What a host may ask for, and what each refusal says.

use agent::agent as wire;

use super::*;

fn network() -> wire::Network {
    let mut interface = wire::NetworkInterface {
        name: "eth0".into(),
        mac: vec![2, 0, 0, 0, 0, 1],
        mtu: 1450,
        ..Default::default()
    };
    interface.addresses.push(wire::InterfaceAddress {
        address: vec![10, 1, 0, 2],
        prefix_length: 24,
        ..Default::default()
    });
    wire::Network {
        interfaces: vec![interface],
        routes: vec![wire::Route {
            table: 254,
            kind: 1,
            destination: vec![0; 4],
            gateway: vec![10, 1, 0, 1],
            interface: "eth0".into(),
            ..Default::default()
        }],
        rules: vec![wire::Rule {
            priority: 100,
            action: 1,
            table: 7,
            source: vec![10, 1, 0, 2],
            source_prefix_length: 32,
            ..Default::default()
        }],
        neighbours: vec![wire::Neighbour {
            interface: "eth0".into(),
            address: vec![10, 1, 0, 1],
            mac: vec![2, 0, 0, 0, 0, 9],
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[test]
fn sound_network_is_taken() {
    let wanted = parse(&network()).unwrap();
    assert_eq!(
        wanted.interfaces[0].addresses[0].prefix.to_string(),
        "10.1.0.2/24"
    );
    assert_eq!(
        wanted.routes[0].to_string(),
        "route to 0.0.0.0/0 via 10.1.0.1 on eth0 in table 254"
    );
    assert_eq!(parse(&wire::Network::default()), Ok(Wanted::default()));
}

#[test]
fn what_the_kernel_fills_in_is_filled_in() {
    let mut network = network();
    let route = &mut network.routes[0];
    (route.destination, route.gateway) = (vec![0; 16], Vec::new());
    (route.table, route.scope) = (0, 253);
    let rule = &mut network.rules[0];
    (rule.source, rule.source_prefix_length) = (vec![0; 4], 0);
    (rule.mark, rule.mark_mask) = (0x1234, 0xff);
    let wanted = parse(&network).unwrap();
    let route = &wanted.routes[0];
    let numbers = (route.table, route.protocol, route.priority, route.scope);
    assert_eq!(numbers, (254, 3, 1024, 0));
    assert_eq!(wanted.rules[0].source, None);
    assert_eq!(wanted.rules[0].mark, Some((0x34, 0xff)));
}

fn check(change: &dyn Fn(&mut wire::Network), expect: &str) {
    let mut network = network();
    change(&mut network);
    let message = parse(&network).unwrap_err().message;
    assert!(message.contains(expect), "{message:?} for {expect:?}");
}

#[test]
fn unsound_interface_is_refused_with_the_reason() {
    let other = |mac: u8, name: &str| wire::NetworkInterface {
        name: name.into(),
        mac: vec![mac; 6],
        mtu: 1500,
        ..Default::default()
    };
    for name in ["", "a b", "a/b", "..", "%d", "sixteen-bytes-xx"] {
        let expect = "can't be the name of an interface";
        check(&|n| n.interfaces[0].name = name.into(), expect);
        if !name.is_empty() {
            check(&|n| n.rules[0].input_interface = name.into(), expect);
        }
    }
    check(
        &|n| n.interfaces[0].name = "lo".into(),
        "lo is not the host's",
    );
    check(
        &|n| n.interfaces.push(other(9, "eth0")),
        "two interfaces are called eth0",
    );
    check(
        &|n| n.interfaces.extend([other(9, "a"), other(9, "b")]),
        "interface b has the MAC of another one",
    );
    check(
        &|n| n.interfaces[0].mtu = 67,
        "its MTU can't be 67: 68 to 65535",
    );
    check(
        &|n| n.interfaces[0].mac = vec![1; 5],
        "a MAC has 6 bytes, not 5",
    );
    let first = |n: &mut wire::Network, change: &dyn Fn(&mut wire::InterfaceAddress)| {
        change(&mut n.interfaces[0].addresses[0]);
    };
    check(
        &|n| first(n, &|a| a.address = vec![1; 5]),
        "4 or 16 bytes, not 5",
    );
    check(
        &|n| first(n, &|a| a.address.clear()),
        "interface eth0 has no address",
    );
    check(
        &|n| first(n, &|a| a.prefix_length = 33),
        "can't have 33 bits",
    );
    check(
        &|n| first(n, &|a| a.peer = vec![1; 16]),
        "are of two families",
    );
    check(
        &|n| first(n, &|a| a.broadcast = vec![1; 16]),
        "is no broadcast address",
    );
    check(&|n| first(n, &|a| a.scope = 256), "its scope can't be 256");
}

#[test]
fn unsound_route_rule_or_neighbour_is_refused_with_the_reason() {
    check(
        &|n| n.routes[0].interface = "eth1".into(),
        "\"eth1\" is not among the interfaces",
    );
    check(
        &|n| n.routes[0].interface.clear(),
        "a route of kind 1 or 2 has an interface",
    );
    check(
        &|n| n.routes[0].kind = 6,
        "one of another kind neither interface nor gateway",
    );
    check(&|n| n.routes[0].kind = 3, "3 is no kind");
    check(
        &|n| n.routes[0].destination = vec![10, 1, 0, 0],
        "bits behind its prefix",
    );
    check(
        &|n| n.routes[0].destination = vec![0; 16],
        "an IPv6 route has no IPv4 gateway",
    );
    check(&|n| n.routes[0].source = vec![1; 16], "are of two families");
    check(&|n| n.routes[0].protocol = 256, "its protocol can't be 256");
    check(&|n| n.rules[0].action = 2, "2 is no action");
    check(
        &|n| n.rules[0].table = 0,
        "when, and only when, its action is 1",
    );
    check(&|n| n.rules[0].ipv6 = true, "is of the other family");
    check(
        &|n| n.rules[0].source_prefix_length = 24,
        "bits behind its prefix",
    );
    let kernels = wire::Rule {
        priority: 32766,
        action: 1,
        table: 254,
        ..Default::default()
    };
    check(&|n| n.rules[0] = kernels.clone(), "one of the kernel's own");
    check(
        &|n| n.neighbours[0].interface.clear(),
        "a neighbour has no interface",
    );
    check(
        &|n| n.neighbours[0].address.clear(),
        "a neighbour has no address",
    );
    check(&|n| n.neighbours[0].mac.clear(), "a MAC has 6 bytes, not 0");
}

#[test]
fn sizes_are_bounded() {
    check(
        &|n| n.interfaces = vec![wire::NetworkInterface::default(); 65],
        "the network has 65 interfaces, the limit is 64",
    );
    check(
        &|n| n.interfaces[0].addresses = vec![wire::InterfaceAddress::default(); 257],
        "the network has 257 addresses, the limit is 256",
    );
    check(
        &|n| n.routes = vec![wire::Route::default(); 4097],
        "the network has 4097 routes, the limit is 4096",
    );
    check(
        &|n| n.rules = vec![wire::Rule::default(); 1025],
        "the network has 1025 rules, the limit is 1024",
    );
    check(
        &|n| n.neighbours = vec![wire::Neighbour::default(); 4097],
        "the network has 4097 neighbours, the limit is 4096",
    );
}
