//! The kernel's side of a network, in a network namespace of each test's own: its devices are ends of veth pairs. What has become
//! of it is asked with iproute2, which is not ours.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use agent::agent as wire;
use nix::sched::{CloneFlags, unshare};
use tokio::runtime;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// Runs the test in a thread whose network namespace is new. The namespace ends with the thread and its children.
fn in_a_namespace<Test: Future<Output = ()>>(test: impl FnOnce() -> Test + Send + 'static) {
    let run = move || {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            println!("SKIPPED: needs root, for a network namespace");
            return;
        }
        let made = try_ip("link add name uplink address 02:00:00:00:00:01 type veth peer name far");
        if made.is_err() {
            println!("SKIPPED: needs iproute2 and a kernel with veth");
            return;
        }
        ip("link add name other address 02:00:00:00:00:02 type veth peer name far2");
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test());
    };
    thread::spawn(run).join().unwrap();
}

fn try_ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn ip(arguments: &str) -> String {
    try_ip(arguments).unwrap_or_else(|error| panic!("ip {arguments}: {error}"))
}

/// The lines of an answer of ip(8), with single spaces.
fn lines(arguments: &str) -> Vec<String> {
    // The other end of a pair is none of the pod's devices, so it is down.
    let words = |line: &str| {
        let words = line.split_whitespace().filter(|word| *word != "linkdown");
        words.collect::<Vec<_>>().join(" ")
    };
    ip(arguments).lines().map(words).collect()
}

fn bytes(address: &str) -> Vec<u8> {
    match address.parse().unwrap() {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn interface(name: &str, mac: u8, addresses: &[(&str, u32)]) -> wire::NetworkInterface {
    let address = |(address, prefix_length): &(&str, u32)| wire::InterfaceAddress {
        address: bytes(address),
        prefix_length: *prefix_length,
        ..Default::default()
    };
    wire::NetworkInterface {
        name: name.into(),
        mac: vec![2, 0, 0, 0, 0, mac],
        mtu: 1450,
        addresses: addresses.iter().map(address).collect(),
        ..Default::default()
    }
}

fn route(destination: &str, gateway: &str, interface: &str) -> wire::Route {
    let (destination, prefix_length) = destination.split_once('/').unwrap();
    wire::Route {
        table: 254,
        kind: 1,
        destination: bytes(destination),
        prefix_length: prefix_length.parse().unwrap(),
        gateway: if gateway.is_empty() {
            Vec::new()
        } else {
            bytes(gateway)
        },
        interface: interface.into(),
        protocol: 3,
        scope: if gateway.is_empty() { 253 } else { 0 },
        ..Default::default()
    }
}

fn rich() -> wire::Network {
    let mut eth0 = interface(
        "eth0",
        1,
        &[
            ("10.1.0.2", 24),
            ("10.1.0.3", 24),
            ("fd00::2", 64),
            ("fe80::2", 64),
        ],
    );
    eth0.addresses[0].broadcast = bytes("10.1.0.255");
    let mut net1 = interface("net1", 2, &[("10.2.0.2", 32)]);
    net1.addresses[0].peer = bytes("10.2.0.1");
    net1.no_arp = true;
    let mut on_link = route("10.7.0.0/16", "169.254.1.1", "net1");
    on_link.on_link = true;
    on_link.table = 1007;
    let mut tuned = route("10.8.0.0/16", "10.1.0.1", "eth0");
    (tuned.mtu, tuned.advertised_mss, tuned.priority) = (1300, 1200, 50);
    tuned.source = bytes("10.1.0.3");
    let mut nowhere = route("10.9.0.0/16", "", "");
    (nowhere.kind, nowhere.scope) = (7, 0);
    let mut nowhere6 = route("fd09::/16", "", "");
    nowhere6.kind = 6;
    let routes = vec![
        route("10.1.0.1/32", "", "eth0"),
        route("0.0.0.0/0", "10.1.0.1", "eth0"),
        route("10.6.0.0/16", "fe80::1", "eth0"),
        on_link,
        tuned,
        nowhere,
        nowhere6,
        route("::/0", "fe80::1", "eth0"),
        // In the place of the route that the kernel makes for 10.1.0.2/24.
        route("10.1.0.0/24", "10.1.0.1", "eth0"),
    ];
    let rule = wire::Rule {
        priority: 1536,
        action: 1,
        table: 1007,
        source: bytes("10.2.0.2"),
        source_prefix_length: 32,
        ..Default::default()
    };
    let marked = wire::Rule {
        priority: 1537,
        ipv6: true,
        action: 1,
        table: 254,
        mark: 0x80,
        mark_mask: 0xf0,
        inverted: true,
        input_interface: "eth0".into(),
        suppress_prefix_length_plus_one: 1,
        ..Default::default()
    };
    let neighbour = |interface: &str, address: &str| wire::Neighbour {
        interface: interface.into(),
        address: bytes(address),
        mac: vec![2, 0, 0, 0, 0, 9],
        ..Default::default()
    };
    wire::Network {
        interfaces: vec![eth0, net1],
        routes,
        rules: vec![rule, marked],
        neighbours: vec![neighbour("eth0", "10.1.0.1"), neighbour("eth0", "fe80::1")],
        ..Default::default()
    }
}

async fn apply(network: &wire::Network) -> Result<(), Fault> {
    set(&parse(network).unwrap(), DEADLINE).await
}

/// Nothing is left to do.
async fn assert_at_rest(network: &wire::Network) {
    let mut netlink = Netlink::open().unwrap();
    let wanted = parse(network).unwrap();
    let steps = plan(&present(&mut netlink).await.unwrap(), &wanted);
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(steps, [""; 0]);
}

fn assert_has(lines: &[String], expect: &[&str]) {
    for line in expect {
        assert!(
            lines.iter().any(|there| there.starts_with(line)),
            "{line:?} is not in {lines:#?}"
        );
    }
}

fn assert_rich_links() {
    let links = lines("-o link show");
    assert!(
        links
            .iter()
            .any(|l| l.contains(" eth0@far: ") && l.contains(",UP")),
        "{links:?}"
    );
    assert!(
        links
            .iter()
            .any(|l| l.contains(" net1@far2: ") && l.contains("NOARP"))
    );
    assert!(
        links
            .iter()
            .all(|l| !l.contains("eth0@") || l.contains("mtu 1450"))
    );
    assert_has(
        &lines("-o -4 address show dev lo"),
        &["1: lo inet 127.0.0.1/8"],
    );
    let addresses: Vec<_> = lines("-o address show dev eth0")
        .iter()
        .map(|line| {
            line.split(' ')
                .skip(2)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let expect = [
        "inet 10.1.0.2/24",
        "inet 10.1.0.3/24",
        "inet6 fd00::2/64",
        "inet6 fe80::2/64",
    ];
    assert_eq!(addresses, expect);
    assert!(
        lines("-o -6 address show dev eth0")
            .iter()
            .all(|line| line.contains("nodad"))
    );
    let net1 = lines("-o address show dev net1");
    assert!(
        net1.iter()
            .any(|l| l.contains(" inet 10.2.0.2 peer 10.2.0.1/32 "))
    );
}

fn assert_rich_routes() -> Vec<String> {
    let routes = lines("route show table all");
    let expect = [
        "default via 10.1.0.1 dev eth0",
        "10.1.0.0/24 via 10.1.0.1 dev eth0",
        "10.1.0.1 dev eth0 scope link",
        "10.6.0.0/16 via inet6 fe80::1 dev eth0",
        "10.7.0.0/16 via 169.254.1.1 dev net1 table 1007 onlink",
        "10.8.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.3 metric 50 mtu 1300 advmss 1200",
        "unreachable 10.9.0.0/16",
        "blackhole fd09::/16",
        "default via fe80::1 dev eth0",
    ];
    assert_has(&routes, &expect);
    assert_has(&lines("rule show"), &["1536: from 10.2.0.2 lookup 1007"]);
    assert_has(
        &lines("-6 rule show"),
        &["1537: not from all fwmark 0x80/0xf0 iif eth0 lookup main suppress_prefixlength 0"],
    );
    let neighbours = lines("neighbour show nud permanent");
    assert_has(
        &neighbours,
        &[
            "10.1.0.1 dev eth0 lladdr 02:00:00:00:00:09 PERMANENT",
            "fe80::1 dev eth0 lladdr 02:00:00:00:00:09",
        ],
    );
    routes
}

#[test]
fn whole_network_is_made_and_a_second_time_changes_nothing() {
    in_a_namespace(|| async {
        let network = rich();
        apply(&network).await.unwrap();
        assert_rich_links();
        let routes = assert_rich_routes();
        assert_at_rest(&network).await;
        apply(&network).await.unwrap();
        assert_eq!(lines("route show table all"), routes);
    });
}

#[test]
fn what_is_not_named_goes() {
    in_a_namespace(|| async {
        apply(&rich()).await.unwrap();
        ip("route add 10.99.0.0/16 nexthop via 10.1.0.1 dev eth0 nexthop dev net1");
        ip("route add 10.98.0.0/16 dev eth0 tos 8");
        ip("rule add priority 9 ipproto tcp dport 80 lookup 9");
        ip("neighbour add 10.1.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent");
        let small = wire::Network {
            // The names change places, too.
            interfaces: vec![
                interface("net1", 1, &[("10.1.0.9", 24)]),
                interface("eth0", 2, &[]),
            ],
            ..Default::default()
        };
        apply(&small).await.unwrap();
        assert_at_rest(&small).await;
        assert_has(&lines("-o link show"), &["3: net1@far: <"]);
        let routes = lines("-4 route show");
        assert_eq!(
            routes,
            ["10.1.0.0/24 dev net1 proto kernel scope link src 10.1.0.9"]
        );
        assert_eq!(lines("-4 route show table 1007 2"), [""; 0]);
        assert_eq!(lines("rule show").len(), 3);
        assert_eq!(lines("-6 rule show").len(), 2);
        assert_eq!(lines("neighbour show nud permanent"), [""; 0]);
        assert_eq!(lines("-o -6 address show scope global"), [""; 0]);
        apply(&rich()).await.unwrap();
        assert_at_rest(&rich()).await;
    });
}

#[test]
fn part_that_the_kernel_refuses_is_named() {
    in_a_namespace(|| async {
        let mut network = rich();
        network
            .routes
            .push(route("10.50.0.0/16", "192.168.9.9", "eth0"));
        let fault = apply(&network).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
        let expect = "add the route to 10.50.0.0/16 via 192.168.9.9 on eth0 in table 254: ";
        assert!(fault.message.starts_with(expect), "{}", fault.message);
        // Repeated whole, it comes to its end.
        apply(&rich()).await.unwrap();
        assert_at_rest(&rich()).await;
    });
}

#[test]
fn two_routes_for_one_place_never_come_to_rest() {
    in_a_namespace(|| async {
        let mut network = rich();
        network.routes.pop();
        network.routes.push(route("0.0.0.0/0", "10.1.0.7", "eth0"));
        let fault = apply(&network).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
        assert!(
            fault.message.contains("does not come to rest"),
            "{}",
            fault.message
        );
    });
}

#[test]
fn device_that_does_not_come_is_named_at_the_deadline() {
    in_a_namespace(|| async {
        let mut network = rich();
        network.interfaces.push(interface("net2", 3, &[]));
        let begun = Instant::now();
        let deadline = Duration::from_millis(100);
        let fault = set(&parse(&network).unwrap(), deadline).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::DeadlineExceeded);
        assert!(
            fault
                .message
                .contains("02:00:00:00:00:03, which is to be net2"),
            "{fault:?}"
        );
        assert!(begun.elapsed() >= deadline);
        // Nothing has been touched.
        assert!(
            lines("-o link show")
                .iter()
                .any(|line| line.contains("uplink@"))
        );
    });
}

#[test]
fn device_that_comes_late_is_waited_for() {
    in_a_namespace(|| async {
        let mut network = rich();
        network
            .interfaces
            .push(interface("net2", 3, &[("10.3.0.2", 24)]));
        let mut set = std::pin::pin!(apply(&network));
        let waited = timeout(Duration::from_millis(100), &mut set).await;
        assert!(waited.is_err(), "{waited:?}");
        ip("link add name late address 02:00:00:00:00:03 type veth peer name far3");
        set.await.unwrap();
        assert_at_rest(&network).await;
    });
}
