//! Links as the kernel describes them, and what becomes of each.

use rtnetlink::{
    packet_core::DefaultNla,
    packet_route::link::{InfoTun, LinkHeader},
};

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];

fn link(index: u32, name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header = LinkHeader {
        index,
        link_layer_type: LinkLayerType::Ether,
        flags: LinkFlags::Up,
        ..LinkHeader::default()
    };
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(1450),
        LinkAttribute::Address(MAC.to_vec()),
    ];
    message
}

fn with(mut message: LinkMessage, attribute: LinkAttribute) -> LinkMessage {
    message.attributes.push(attribute);
    message
}

fn of(message: LinkMessage, kind: InfoKind, data: Option<InfoData>) -> LinkMessage {
    let mut infos = vec![LinkInfo::Kind(kind)];
    infos.extend(data.map(LinkInfo::Data));
    with(message, LinkAttribute::LinkInfo(infos))
}

fn without_mac(mut message: LinkMessage) -> LinkMessage {
    let is_mac = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::Address(_));
    message.attributes.retain(|attribute| !is_mac(attribute));
    message
}

fn down(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::empty();
    message
}

fn tun(kind: u8) -> InfoData {
    InfoData::Tun(vec![InfoTun::Other(DefaultNla::new(
        IFLA_TUN_TYPE,
        vec![kind],
    ))])
}

/// Name and tap of each link of the plan.
fn joints(links: &[LinkMessage], addressed: &[u32]) -> Vec<(String, Joint)> {
    let plan = plan(links, &addressed.iter().copied().collect()).unwrap();
    plan.into_iter()
        .map(|link| (link.name, link.joint))
        .collect()
}

fn redirect(name: &str, tap: &str) -> (String, Joint) {
    let tap = tap.to_owned();
    (name.to_owned(), Joint::Redirect { tap })
}

fn refuse(links: &[LinkMessage], addressed: &[u32]) -> LinkError {
    plan(links, &addressed.iter().copied().collect()).unwrap_err()
}

#[test]
fn ethernet_link_is_planned_with_all_that_the_guest_takes_over() {
    let mut eth0 = of(link(2, "eth0"), InfoKind::Veth, None);
    eth0.header.flags |= LinkFlags::Noarp;
    let expect = LinkPlan {
        index: 2,
        name: "eth0".to_owned(),
        mac: Mac(MAC),
        mtu: 1450,
        no_arp: true,
        joint: Joint::Redirect {
            tap: "tap-eth0".to_owned(),
        },
    };
    assert_eq!(plan(&[eth0], &BTreeSet::from([2])).unwrap(), [expect]);
}

#[test]
fn links_come_in_the_order_of_their_numbers() {
    let links = [link(7, "net1"), link(3, "eth0")];
    let expect = [redirect("eth0", "tap-eth0"), redirect("net1", "tap-net1")];
    assert_eq!(joints(&links, &[3, 7]), expect);
    // A network without addresses.
    assert_eq!(joints(&links, &[3]), expect);
}

#[test]
fn loopback_and_what_modules_put_there_are_left_out() {
    let mut lo = link(1, "lo");
    lo.header.flags |= LinkFlags::Loopback;
    let mut tunl0 = of(without_mac(link(2, "tunl0")), InfoKind::IpIp, None);
    tunl0.header.link_layer_type = LinkLayerType::Tunnel;
    let spare = down(link(4, "spare"));
    let port = with(link(5, "port"), LinkAttribute::Controller(9));
    let links = [lo, down(tunl0.clone()), spare, port, link(3, "eth0")];
    assert_eq!(joints(&links, &[1, 3]), [redirect("eth0", "tap-eth0")]);
    assert_eq!(joints(&[tunl0], &[]), []);
}

#[test]
fn link_with_an_address_is_the_guests_even_when_it_is_down() {
    let links = [down(link(3, "eth0"))];
    assert_eq!(joints(&links, &[3]), [redirect("eth0", "tap-eth0")]);
}

#[test]
fn layer2_modes_are_joined_and_layer3_modes_refused() {
    let ipvlan = |mode| InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)]);
    let netkit = |mode| InfoData::Netkit(vec![InfoNetkit::Mode(mode)]);
    let eth0 = || link(2, "eth0");
    for good in [
        of(eth0(), InfoKind::IpVlan, Some(ipvlan(IpVlanMode::L2))),
        of(eth0(), InfoKind::Netkit, Some(netkit(NetkitMode::L2))),
        of(eth0(), InfoKind::MacVlan, None),
        of(eth0(), InfoKind::Dummy, None),
        eth0(),
    ] {
        assert_eq!(joints(&[good], &[2]), [redirect("eth0", "tap-eth0")]);
    }
    let mut wireguard = without_mac(eth0());
    wireguard.header.link_layer_type = LinkLayerType::None;
    let zero = LinkAttribute::Address(vec![0; 6]);
    for (bad, kind) in [
        (
            of(eth0(), InfoKind::IpVlan, Some(ipvlan(IpVlanMode::L3))),
            "ipvlan",
        ),
        (
            of(eth0(), InfoKind::IpVlan, Some(ipvlan(IpVlanMode::L3S))),
            "ipvlan",
        ),
        (
            of(eth0(), InfoKind::Netkit, Some(netkit(NetkitMode::L3))),
            "netkit",
        ),
        (of(eth0(), InfoKind::Vrf, None), "vrf"),
        (of(wireguard, InfoKind::Wireguard, None), "wireguard"),
        (with(without_mac(eth0()), zero), "no kind"),
    ] {
        let expect = LinkError::Layer3 {
            name: "eth0".to_owned(),
            kind: kind.to_owned(),
        };
        assert_eq!(refuse(&[bad], &[2]), expect);
    }
}

#[test]
fn tap_of_a_plugin_is_used_itself_and_a_tun_is_refused() {
    let tap = of(link(2, "eth0"), InfoKind::Tun, Some(tun(2)));
    assert_eq!(joints(&[tap], &[2]), [("eth0".to_owned(), Joint::Itself)]);
    let mut tun = of(without_mac(link(2, "eth0")), InfoKind::Tun, Some(tun(1)));
    tun.header.link_layer_type = LinkLayerType::None;
    assert!(matches!(refuse(&[tun], &[2]), LinkError::Layer3 { .. }));
}

#[test]
fn link_on_another_of_the_pods_is_refused() {
    let vlan = of(link(3, "eth0.5"), InfoKind::Vlan, None);
    let vlan = with(vlan, LinkAttribute::Link(2));
    let expect = LinkError::Stacked {
        upper: "eth0.5".to_owned(),
        lower: "eth0".to_owned(),
    };
    assert_eq!(refuse(&[link(2, "eth0"), vlan.clone()], &[2, 3]), expect);
    // The lower one lies in the node's namespace, where number 2 is something else.
    let elsewhere = with(vlan, LinkAttribute::LinkNetNsId(0));
    assert_eq!(joints(&[link(2, "eth0"), elsewhere], &[2, 3]).len(), 2);
    // The other end of a pair is not below it.
    let veth = |index, name, peer| {
        let veth = of(link(index, name), InfoKind::Veth, None);
        with(veth, LinkAttribute::Link(peer))
    };
    assert_eq!(
        joints(&[veth(2, "a", 3), veth(3, "b", 2)], &[2, 3]).len(),
        2
    );
}

#[test]
fn enslaved_link_with_an_address_is_refused() {
    let slave = with(link(2, "eth0"), LinkAttribute::Controller(9));
    let name = "eth0".to_owned();
    assert_eq!(refuse(&[slave], &[2]), LinkError::Enslaved { name });
}

#[test]
fn incomplete_description_is_an_error() {
    let what = "name";
    let nameless = LinkMessage::default();
    assert_eq!(
        refuse(&[nameless], &[]),
        LinkError::Incomplete { index: 0, what }
    );
    let mut eth0 = link(2, "eth0");
    eth0.attributes
        .retain(|attribute| !matches!(attribute, LinkAttribute::Mtu(_)));
    let what = "MTU";
    assert_eq!(
        refuse(&[eth0], &[2]),
        LinkError::Incomplete { index: 2, what }
    );
}

#[test]
fn tap_gets_a_name_that_fits_and_is_free() {
    let check = |links: &[(u32, &str)], expect: &[(&str, &str)]| {
        let links: Vec<LinkMessage> = links
            .iter()
            .map(|(index, name)| link(*index, name))
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(name, tap)| redirect(name, tap))
            .collect();
        assert_eq!(joints(&links, &[]), expect);
    };
    check(&[(2, "elevenbytes")], &[("elevenbytes", "tap-elevenbytes")]);
    check(&[(2, "twelve_bytes")], &[("twelve_bytes", "tap2")]);
    check(
        &[(2, "eth0"), (3, "tap-eth0")],
        &[("eth0", "tap2"), ("tap-eth0", "tap-tap-eth0")],
    );
    check(
        &[(2, "twelve_bytes"), (3, "tap2")],
        &[("twelve_bytes", "tap2-1"), ("tap2", "tap-tap2")],
    );
}
