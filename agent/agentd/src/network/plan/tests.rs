//! Plans of made-up networks. `apply` stands for the kernel, so that a plan is followed to its end as `set` follows it.

use super::*;
use crate::network::state::{LOOK_UP, Mac, Prefix};

const ETH0: Mac = [2, 0, 0, 0, 0, 1];
const NET1: Mac = [2, 0, 0, 0, 0, 2];

fn link(index: u32, name: &str, mac: Mac) -> Link {
    Link {
        index,
        name: name.into(),
        mac: Some(mac),
        mtu: 1500,
        up: false,
        no_arp: false,
        automatic_ipv6: false,
    }
}

fn lo() -> Link {
    Link {
        mac: None,
        mtu: 65536,
        up: true,
        ..link(1, "lo", ETH0)
    }
}

fn interface(name: &str, mac: Mac) -> Interface {
    Interface {
        name: name.into(),
        mac,
        mtu: 1500,
        no_arp: false,
        addresses: Vec::new(),
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn address(text: &str) -> Address {
    Address {
        prefix: prefix(text),
        peer: None,
        broadcast: None,
        scope: 0,
    }
}

fn route(destination: &str, interface: &str) -> Route {
    Route {
        table: 254,
        kind: 1,
        destination: prefix(destination),
        gateway: None,
        interface: Some(interface.into()),
        source: None,
        scope: 0,
        protocol: 3,
        on_link: false,
        priority: 0,
        mtu: 0,
        advertised_mss: 0,
        tos: 0,
    }
}

fn rule(priority: u32, table: u32) -> Rule {
    Rule {
        priority,
        ipv6: false,
        action: LOOK_UP,
        table,
        source: None,
        destination: None,
        input_interface: None,
        output_interface: None,
        mark: None,
        inverted: false,
        suppress_prefix_length: None,
        special: false,
    }
}

fn check(present: &Present, wanted: &Wanted, expect: &[&str]) {
    let steps: Vec<String> = plan(present, wanted).iter().map(Step::to_string).collect();
    assert_eq!(steps, expect);
}

/// What a kernel would have after the steps.
fn apply(present: &mut Present, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Link { link, change } => {
                let mut links = present.links.iter_mut();
                let there = links.find(|there| there.index == link.index).unwrap();
                match change {
                    LinkChange::Down => there.up = false,
                    LinkChange::Up => there.up = true,
                    LinkChange::Rename(name) => there.name = name,
                    LinkChange::Mtu(mtu) => there.mtu = mtu,
                    LinkChange::NoArp(on) => there.no_arp = on,
                    LinkChange::NoAutomaticIpv6 => there.automatic_ipv6 = false,
                }
            }
            Step::RemoveAddress { link, address } => {
                let gone = (link.name, address);
                present.addresses.retain(|there| *there != gone);
            }
            Step::AddAddress { link, address } => present.addresses.push((link.name, address)),
            Step::RemoveNeighbour(gone) => present.neighbours.retain(|there| *there != gone),
            Step::RemoveRule(gone) => present.rules.retain(|there| *there != gone),
            Step::RemoveRoute(gone) => present.routes.retain(|there| *there != gone),
            Step::AddRoute(route) => present.routes.push(route),
            Step::AddRule(rule) => present.rules.push(rule),
            Step::AddNeighbour(neighbour) => present.neighbours.push(neighbour),
        }
        let names: HashSet<_> = present.links.iter().map(|link| &link.name).collect();
        assert_eq!(names.len(), present.links.len(), "a name is taken twice");
    }
}

#[test]
fn empty_network_leaves_only_lo_up() {
    let mut present = Present {
        links: vec![Link { up: false, ..lo() }, link(2, "eth0", ETH0)],
        addresses: vec![
            ("lo".into(), address("127.0.0.1/8")),
            ("eth0".into(), address("10.0.0.2/24")),
        ],
        rules: vec![rule(0, 255), rule(32766, 254), rule(32767, 253)],
        ..Present::default()
    };
    present.links[1].up = true;
    let wanted = Wanted::default();
    check(&present, &wanted, &["set lo up", "set eth0 down"]);
    present.links[0].up = true;
    present.links[1].up = false;
    check(&present, &wanted, &["remove 10.0.0.2/24 from eth0"]);
    present.addresses.pop();
    check(&present, &wanted, &[]);
}

#[test]
fn names_are_swapped_over_names_of_their_own() {
    let mut present = Present {
        links: vec![lo(), link(2, "eth0", NET1), link(3, "net1", ETH0)],
        ..Present::default()
    };
    present.links[1].up = true;
    let wanted = Wanted {
        interfaces: vec![interface("eth0", ETH0), interface("net1", NET1)],
        ..Wanted::default()
    };
    let expect = [
        "set eth0 down",
        "rename eth0 to cofferdam2",
        "rename net1 to cofferdam3",
        "rename net1 to eth0",
        "set eth0 down",
        "rename eth0 to net1",
    ];
    check(&present, &wanted, &expect);
    let steps = plan(&present, &wanted);
    apply(&mut present, steps);
    check(&present, &wanted, &["set net1 up", "set eth0 up"]);
}

#[test]
fn name_that_a_stranger_holds_is_taken_from_it() {
    let mut present = Present {
        links: vec![
            lo(),
            link(2, "eth0", [9; 6]),
            link(3, "eth1", ETH0),
            link(4, "net1", NET1),
        ],
        ..Present::default()
    };
    let wanted = Wanted {
        interfaces: vec![interface("eth0", ETH0), interface("net1", NET1)],
        ..Wanted::default()
    };
    let expect = ["rename eth0 to cofferdam2", "rename eth1 to eth0"];
    check(&present, &wanted, &expect);
    let steps = plan(&present, &wanted);
    apply(&mut present, steps);
    check(&present, &wanted, &["set eth0 up", "set net1 up"]);
}

#[test]
fn device_is_the_first_of_those_with_its_mac() {
    let wanted = Wanted {
        interfaces: vec![interface("eth0", ETH0), interface("net1", NET1)],
        ..Wanted::default()
    };
    let mut present = Present {
        links: vec![link(7, "vlan", ETH0), link(3, "eth0", ETH0)],
        ..Present::default()
    };
    assert_eq!(link_of(&present, &wanted.interfaces[0]).unwrap().index, 3);
    assert_eq!(
        missing(&present, &wanted).map(|i| i.name.as_str()),
        Some("net1")
    );
    present.links.push(link(4, "eth1", NET1));
    assert_eq!(missing(&present, &wanted), None);
}

#[test]
fn stages_follow_each_other_to_an_empty_plan() {
    let mut present = Present {
        links: vec![
            lo(),
            Link {
                automatic_ipv6: true,
                ..link(2, "eth0", ETH0)
            },
        ],
        addresses: vec![
            ("eth0".into(), address("10.0.0.9/24")),
            ("eth0".into(), address("10.0.0.8/24")),
        ],
        routes: vec![
            Route {
                protocol: MADE_BY_KERNEL,
                ..route("10.0.0.0/24", "eth0")
            },
            route("10.9.0.0/16", "eth0"),
        ],
        rules: vec![rule(32766, 254), rule(7, 254)],
        neighbours: Vec::new(),
    };
    let mut eth0 = interface("eth0", ETH0);
    eth0.mtu = 1400;
    eth0.no_arp = true;
    eth0.addresses = vec![address("10.0.0.2/32"), address("fd00::2/64")];
    let neighbour = Neighbour {
        interface: "eth0".into(),
        address: "10.0.0.1".parse().unwrap(),
        mac: NET1,
    };
    let wanted = Wanted {
        interfaces: vec![eth0],
        routes: vec![route("10.0.0.1/32", "eth0"), route("0.0.0.0/0", "eth0")],
        rules: vec![rule(1536, 100)],
        neighbours: vec![neighbour],
    };
    let stages: [&[&str]; 4] = [
        &[
            "keep the kernel from giving IPv6 addresses to eth0",
            "set the MTU of eth0 to 1400",
            "set NOARP of eth0 to true",
            "set eth0 up",
        ],
        &[
            "remove 10.0.0.8/24 from eth0",
            "remove 10.0.0.9/24 from eth0",
            "add 10.0.0.2/32 to eth0",
            "add fd00::2/64 to eth0",
        ],
        &[
            "remove the IPv4 rule of priority 7 for table 254",
            "remove the route to 10.9.0.0/16 on eth0 in table 254",
            "add the route to 10.0.0.1/32 on eth0 in table 254",
            "add the route to 0.0.0.0/0 on eth0 in table 254",
            "add the IPv4 rule of priority 1536 for table 100",
            "add neighbour 10.0.0.1 on eth0",
        ],
        &[],
    ];
    for expect in stages {
        check(&present, &wanted, expect);
        let steps = plan(&present, &wanted);
        apply(&mut present, steps);
    }
}

#[test]
fn rule_with_a_condition_is_not_the_kernels() {
    assert!(rule(32766, 254).is_the_kernels());
    let special = Rule {
        special: true,
        ..rule(32766, 254)
    };
    let marked = Rule {
        mark: Some((1, 1)),
        ..rule(0, 255)
    };
    for rule in [special, marked, rule(32766, 100), rule(5, 255)] {
        assert!(!rule.is_the_kernels(), "{rule}");
    }
}
