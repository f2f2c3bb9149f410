//! Offers and choices as values.

use std::cell::RefCell;

use super::*;

/// Features by their bits.
fn of(bits: &[u32]) -> u64 {
    mask(bits)
}

#[test]
fn feature_is_offered_only_with_what_it_needs() {
    // Section 5.1.3.1, and MTU and MAC which need nothing.
    let needs = [
        (VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM),
        (VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM),
        (VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4),
        (VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_CSUM),
        (VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_GUEST_CSUM),
        (VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM),
        (VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM),
        (VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4),
        (VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_CSUM),
        (VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ),
    ];
    for pairs in [1, 2, 8] {
        for segmentation in [Segmentation::Tcp, Segmentation::TcpAndUdp] {
            let offer = offered(pairs, segmentation);
            for (feature, need) in needs {
                assert!(!has(offer, feature) || has(offer, need), "{feature}");
            }
            assert_eq!(has(offer, VIRTIO_NET_F_MQ), pairs > 1);
            let udp = segmentation == Segmentation::TcpAndUdp;
            for feature in WITH_UDP {
                assert_eq!(has(offer, feature), udp, "{feature}");
            }
        }
    }
}

fn check_offloads(chosen: &[u32], expect: c_uint, segments: bool) {
    assert_eq!(offloads(of(chosen)), expect, "{chosen:?}");
    assert_eq!(takes_segments(of(chosen)), segments, "{chosen:?}");
}

#[test]
fn tap_is_told_exactly_what_was_chosen() {
    const CSUM: u32 = VIRTIO_NET_F_GUEST_CSUM;
    check_offloads(&[], 0, false);
    check_offloads(&[VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_MRG_RXBUF], 0, false);
    check_offloads(&[CSUM], TUN_F_CSUM, false);
    check_offloads(&[CSUM, VIRTIO_NET_F_GUEST_ECN], TUN_F_CSUM, false);
    let tso4 = TUN_F_CSUM | TUN_F_TSO4;
    check_offloads(&[CSUM, VIRTIO_NET_F_GUEST_TSO4], tso4, true);
    let ecn = [CSUM, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN];
    check_offloads(&ecn, TUN_F_CSUM | TUN_F_TSO6 | TUN_F_TSO_ECN, true);
    check_offloads(&[CSUM, VIRTIO_NET_F_GUEST_USO4], TUN_F_CSUM, false);
    let uso = [CSUM, VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6];
    check_offloads(&uso, TUN_F_CSUM | UDP_OFFLOADS, true);
    let all = TCP_OFFLOADS | UDP_OFFLOADS;
    assert_eq!(offloads(offered(1, Segmentation::TcpAndUdp)), all);
    assert_eq!(offloads(offered(1, Segmentation::Tcp)), TCP_OFFLOADS);
}

fn check_probe(knows: c_uint, expect: Option<Segmentation>) {
    let last = RefCell::new(None);
    let found = Segmentation::of(|offloads| {
        *last.borrow_mut() = Some(offloads);
        if offloads & !knows == 0 {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    });
    assert_eq!(found.ok(), expect);
    if expect.is_some() {
        assert_eq!(last.into_inner(), Some(0), "finished frames only");
    }
}

#[test]
fn tap_of_an_older_kernel_splits_no_udp() {
    check_probe(TCP_OFFLOADS | UDP_OFFLOADS, Some(Segmentation::TcpAndUdp));
    check_probe(TCP_OFFLOADS, Some(Segmentation::Tcp));
    check_probe(TUN_F_CSUM, None);
}

#[test]
fn kernel_gets_what_concerns_the_rings_alone() {
    let all = u64::MAX;
    assert!(kernel_suffices(all));
    for bit in OF_RINGS {
        assert!(!kernel_suffices(all & !(1 << bit)), "{bit}");
    }
    let chosen = offered(8, Segmentation::TcpAndUdp);
    let expect = of(&[VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF]);
    assert_eq!(for_kernel(chosen), expect);
}
