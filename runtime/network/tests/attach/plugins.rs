//! The real plugins: bridge, ptp, macvlan, host-local, portmap; and a guest that talks to what they made.

use std::{
    net::UdpSocket,
    num::{NonZeroU8, NonZeroU16},
    process::Command,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use model::{Prefix, Route};
use network::{PortMapping, Protocol};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use serde_json::{Value, json};

use crate::{
    frames,
    guest::Guest,
    node::{self, Node, PATIENCE, pod, request},
};

fn ipam() -> Value {
    json!({"type": "host-local", "dataDir": "DATA",
        "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd88::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]})
}

fn bridge(more: &[Value]) -> Value {
    let mut plugins = vec![
        json!({"type": "bridge", "bridge": "cni0", "isGateway": true, "mtu": 1400, "ipam": ipam()}),
    ];
    plugins.extend_from_slice(more);
    json!({"cniVersion": "1.0.0", "name": "net", "plugins": plugins})
}

fn told(routes: &[Route]) -> Vec<(Prefix, Option<String>)> {
    let each = routes.iter();
    each.map(|route| {
        (
            route.destination,
            route.gateway.map(|gateway| gateway.to_string()),
        )
    })
    .collect()
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

#[test]
fn guest_of_a_bridge_network_talks_to_its_gateway_in_both_families() {
    let name = "guest_of_a_bridge_network_talks_to_its_gateway_in_both_families";
    node::run(name, &["bridge", "host-local"], async |mut node: Node| {
        node.configure("10.conflist", &bridge(&[]));
        let Some(attachment) = node.setup(request("p1")).await else {
            return;
        };
        let ips: Vec<String> = attachment.ips.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["10.88.0.2", "fd88::2"]);
        let interface = &attachment.network.interfaces[0];
        assert_eq!((interface.name.as_str(), interface.mtu), ("eth0", 1400));
        let prefixes: Vec<Prefix> = interface.addresses.iter().map(|one| one.prefix).collect();
        assert_eq!(prefixes, [prefix("10.88.0.2/24"), prefix("fd88::2/64")]);
        let routes = [
            (prefix("0.0.0.0/0"), Some("10.88.0.1".to_owned())),
            (prefix("::/0"), Some("fd88::1".to_owned())),
        ];
        assert_eq!(told(&attachment.network.routes), routes);
        assert_eq!(
            (
                attachment.network.rules.len(),
                attachment.network.neighbours.len()
            ),
            (0, 0)
        );

        let [tap] = attachment.taps.as_slice() else {
            panic!("{:?}", attachment.taps)
        };
        assert_eq!(
            (tap.interface.as_str(), tap.name.as_str()),
            ("eth0", "tap-eth0")
        );
        assert_eq!((tap.mac, tap.mtu), (interface.mac, 1400));
        let links = node.links(Some("p1")).await;
        assert!(links.contains(&("tap-eth0".to_owned(), 1400)), "{links:?}");
        let guest = Guest { tap };
        guest.ping(attachment.ips[0], "10.88.0.1".parse().unwrap());
        guest.ping(attachment.ips[1], "fd88::1".parse().unwrap());

        node.network.check(&pod("p1")).await.unwrap();
        node.restart();
        assert_eq!(node.network.ips(&pod("p1")).await.unwrap(), attachment.ips);
        node.network.teardown(&pod("p1")).await.unwrap();
        node.network.teardown(&pod("p1")).await.unwrap();
        drop(attachment);
        node.assert_clean(&["cni0"]).await;
    });
}

#[test]
fn namespace_does_not_answer_for_its_guest() {
    let name = "namespace_does_not_answer_for_its_guest";
    node::run(name, &["bridge", "host-local"], async |node: Node| {
        node.configure("10.conflist", &bridge(&[]));
        let Some(attachment) = node.setup(request("p1")).await else {
            return;
        };
        let guest = Guest {
            tap: &attachment.taps[0],
        };
        for (own, node_end) in [
            (attachment.ips[0], "10.88.0.1"),
            (attachment.ips[1], "fd88::1"),
        ] {
            let socket = UdpSocket::bind((node_end, 0)).unwrap();
            socket.send_to(b"hello", (own, 9)).unwrap();
            let what = format!("the question who has {own}");
            guest.receive(&what, |frame| frames::asks(frame, own).then_some(()));
            // The guest says nothing, and nobody else does.
            let end = Instant::now() + PATIENCE;
            while neighbour_state(&own.to_string()).await != Some(NeighbourState::Failed) {
                assert!(Instant::now() < end, "somebody answered for {own}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        node.network.teardown(&pod("p1")).await.unwrap();
    });
}

/// Of this node's neighbour with that address.
async fn neighbour_state(address: &str) -> Option<NeighbourState> {
    let handle = node::netlink();
    let mut neighbours = std::pin::pin!(handle.neighbours().get().execute());
    while let Some(neighbour) = neighbours.try_next().await.unwrap() {
        let is_it = neighbour
            .attributes
            .iter()
            .any(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                    ip.to_string() == address
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                    ip.to_string() == address
                }
                _ => false,
            });
        if is_it {
            return Some(neighbour.header.state);
        }
    }
    None
}

#[test]
fn network_that_is_no_longer_configured_is_torn_down_as_it_was_set_up() {
    let name = "network_that_is_no_longer_configured_is_torn_down_as_it_was_set_up";
    node::run(name, &["bridge", "host-local"], async |mut node: Node| {
        node.configure("10.conflist", &bridge(&[]));
        let Some(attachment) = node.setup(request("p1")).await else {
            return;
        };
        drop(attachment);
        std::fs::remove_file(node.path("net.d/10.conflist")).unwrap();
        node.restart();
        assert!(node.network.status().await.is_err());
        // The namespace may be gone too, as after a reboot.
        let namespace = node.path("run/netns/p1");
        nix::mount::umount2(&namespace, nix::mount::MntFlags::MNT_DETACH).unwrap();
        node.network.teardown(&pod("p1")).await.unwrap();
        node.assert_clean(&["cni0"]).await;
    });
}

#[test]
fn tap_has_as_many_queues_as_were_asked_for() {
    let name = "tap_has_as_many_queues_as_were_asked_for";
    node::run(name, &["bridge", "host-local"], async |node: Node| {
        node.configure("10.conflist", &bridge(&[]));
        let mut request = request("p1");
        request.queues = NonZeroU8::new(4);
        let Some(attachment) = node.setup(request).await else {
            return;
        };
        assert_eq!(attachment.taps[0].queues.len(), 4);
        let guest = Guest {
            tap: &attachment.taps[0],
        };
        guest.ping(attachment.ips[0], "10.88.0.1".parse().unwrap());
        node.network.teardown(&pod("p1")).await.unwrap();
    });
}

#[test]
fn forwarded_port_is_the_portmap_plugins() {
    let name = "forwarded_port_is_the_portmap_plugins";
    node::run(
        name,
        &["bridge", "host-local", "portmap"],
        async |node: Node| {
            let rules = || {
                Command::new("iptables")
                    .args(["-w", "-t", "nat", "-S"])
                    .output()
            };
            if !rules().is_ok_and(|output| output.status.success()) {
                eprintln!("SKIPPED {}: iptables does not work here", node.test);
                return;
            }
            let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
            node.configure("10.conflist", &bridge(&[portmap]));
            let mut request = request("p1");
            request.port_mappings = vec![PortMapping {
                host_port: NonZeroU16::new(8088).unwrap(),
                container_port: NonZeroU16::new(80).unwrap(),
                protocol: Protocol::Tcp,
                host_ip: None,
            }];
            let attachment = match node.network.setup(request).await {
                Ok(attachment) => attachment,
                // The plugin asks for matches that small kernels lack.
                Err(error) => {
                    let text = node::chain(&error);
                    assert!(text.contains("plugin portmap failed to ADD"), "{text}");
                    eprintln!("SKIPPED {}: {text}", node.test);
                    node.assert_clean(&["cni0"]).await;
                    return;
                }
            };
            let text = String::from_utf8(rules().unwrap().stdout).unwrap();
            assert!(text.contains("--to-destination 10.88.0.2:80"), "{text}");
            node.network.teardown(&pod("p1")).await.unwrap();
            let text = String::from_utf8(rules().unwrap().stdout).unwrap();
            assert!(!text.contains("10.88.0.2"), "{text}");
            drop(attachment);
            node.assert_clean(&["cni0"]).await;
        },
    );
}

#[test]
fn guest_of_a_ptp_network_reaches_all_through_its_gateway() {
    let name = "guest_of_a_ptp_network_reaches_all_through_its_gateway";
    node::run(name, &["ptp", "host-local"], async |node: Node| {
        let ptp = json!({"type": "ptp", "ipam": ipam()});
        node.configure(
            "10.conflist",
            &json!({"cniVersion": "0.4.0", "name": "net", "plugins": [ptp]}),
        );
        let Some(attachment) = node.setup(request("p1")).await else {
            return;
        };
        // The plugin has taken away the routes to the addresses' networks.
        let interface = &attachment.network.interfaces[0];
        let prefixes: Vec<Prefix> = interface.addresses.iter().map(|one| one.prefix).collect();
        assert_eq!(prefixes, [prefix("10.88.0.2/32"), prefix("fd88::2/128")]);
        let routes = told(&attachment.network.routes);
        for to in ["10.88.0.1/32", "fd88::1/128"] {
            let at = routes.iter().position(|route| *route == (prefix(to), None));
            let through = routes.iter().position(|route| route.1.is_some());
            assert!(at.is_some() && at < through, "{to}: {routes:?}");
        }
        let guest = Guest {
            tap: &attachment.taps[0],
        };
        guest.ping(attachment.ips[0], "10.88.0.1".parse().unwrap());
        node.network.teardown(&pod("p1")).await.unwrap();
        drop(attachment);
        node.assert_clean(&[]).await;
    });
}

#[test]
fn pod_on_two_networks_has_an_interface_and_a_tap_for_each() {
    let name = "pod_on_two_networks_has_an_interface_and_a_tap_for_each";
    node::run(name, &["bridge", "host-local"], async |node: Node| {
        node.configure("10.conflist", &bridge(&[]));
        let second = json!({"cniVersion": "0.3.1", "name": "net1", "type": "bridge", "bridge": "cni1",
            "isGateway": true, "ipam": {"type": "host-local", "dataDir": "DATA", "subnet": "10.89.0.0/24"}});
        node.configure("20.conf", &second);
        let Some(attachment) = node.setup(request("p1")).await else {
            return;
        };
        let names: Vec<&str> = attachment
            .taps
            .iter()
            .map(|tap| tap.interface.as_str())
            .collect();
        assert_eq!(names, ["eth0", "net1"]);
        assert_eq!(attachment.ips[0].to_string(), "10.88.0.2");
        assert_eq!(
            attachment.ips.len(),
            2,
            "the second network's are not the pod's"
        );
        let guest = Guest {
            tap: &attachment.taps[1],
        };
        guest.ping("10.89.0.2".parse().unwrap(), "10.89.0.1".parse().unwrap());
        node.network.teardown(&pod("p1")).await.unwrap();
        drop(attachment);
        node.assert_clean(&["cni0", "cni1"]).await;
    });
}

#[test]
fn networks_of_an_earlier_process_are_collected_and_own_ones_are_not() {
    let name = "networks_of_an_earlier_process_are_collected_and_own_ones_are_not";
    node::run(name, &["bridge", "host-local"], async |mut node: Node| {
        node.configure("10.conflist", &bridge(&[]));
        for pod in ["dead", "alive"] {
            if node.setup(request(pod)).await.is_none() {
                return;
            }
        }
        let collected = node.network.gc([].into()).await.unwrap();
        assert!(collected.removed.is_empty(), "{collected:?}");
        node.restart();
        let young = node.setup(request("young")).await;
        let collected = node.network.gc([pod("alive")].into()).await.unwrap();
        assert_eq!(collected.removed, [pod("dead")]);
        assert!(collected.failed.is_empty(), "{collected:?}");
        for pod in ["alive", "young"] {
            node.network.check(&node::pod(pod)).await.unwrap();
            node.network.teardown(&node::pod(pod)).await.unwrap();
        }
        drop(young);
        node.assert_clean(&["cni0"]).await;
    });
}
