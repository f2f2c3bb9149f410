//! Whole network devices in front of taps of this machine's kernel, with UDP on the host's side: what a driver negotiates, sends and
//! receives. Without root, or without taps, they say so and pass.

mod guest;

use std::{
    io::ErrorKind,
    net::UdpSocket,
    time::{Duration, Instant},
};

use libc::IFF_MULTI_QUEUE;
use rustix::event::{PollFd, PollFlags, poll};
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_MQ, VIRTIO_NET_F_MRG_RXBUF,
};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::{
    queue::test_tap::{self, in_namespace, ip},
    test_driver::pci::{COMMON, DEVICE, INDIRECT, PciDriver, VERSION_1, driver_or_skip},
};
use guest::{GUEST_MAC, Guest, HOST_MAC, udp_frame};

const LINK: Link = Link {
    mac: GUEST_MAC,
    mtu: 1500,
};

fn queue(more_flags: libc::c_int) -> NicQueue {
    NicQueue {
        tap: test_tap::tap("tap0", more_flags).expect("make a tap"),
        vhost: None,
    }
}

/// A device of so many pairs, on an interface that is up and has the address 192.0.2.1.
fn nic(pairs: usize) -> Nic {
    let flags = if pairs > 1 { IFF_MULTI_QUEUE } else { 0 };
    let queues = (0..pairs).map(|_| queue(flags)).collect();
    let nic = Nic::new(LINK, queues).expect("a device");
    let [a, b, c, d, e, f] = HOST_MAC;
    ip(&format!(
        "link set tap0 address {a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x} addrgenmode none up"
    ));
    ip("addr add 192.0.2.1/24 dev tap0");
    let [a, b, c, d, e, f] = GUEST_MAC;
    ip(&format!(
        "neigh add 192.0.2.2 lladdr {a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x} dev tap0"
    ));
    nic
}

fn host_socket() -> UdpSocket {
    let deadline = Instant::now() + Duration::from_secs(10);
    let socket = loop {
        match UdpSocket::bind("192.0.2.1:5000") {
            // Another test's child holds an earlier socket from its fork to its exec.
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            bound => break bound.expect("bind to the host's address"),
        }
    };
    let wait = Some(Duration::from_secs(10));
    socket.set_read_timeout(wait).expect("set the deadline");
    socket.connect("192.0.2.2:6000").expect("name the guest");
    socket
}

#[test]
fn datagrams_go_both_ways() {
    // A namespace for each: another test's child may hold a tap a moment longer than we do.
    for mergeable in [true, false] {
        in_namespace("datagrams_go_both_ways", || exchange(mergeable));
    }
}

fn exchange(mergeable: bool) {
    let mut nic = nic(1);
    let without = if mergeable {
        0
    } else {
        1 << VIRTIO_NET_F_MRG_RXBUF
    };
    let features = nic.features() & !without;
    let mut guest = Guest::start(&mut nic, features);
    let host = host_socket();
    for length in [1, 100, 1400] {
        let payload = vec![b'g'; length];
        guest.send(0, &udp_frame(&payload));
        let mut got = [0; 2000];
        let received = host.recv(&mut got).expect("the guest's datagram");
        assert_eq!(got[..received], payload);

        let payload = vec![b'h'; length];
        host.send(&payload).expect("send to the guest");
        let frame = guest.receive(0);
        assert!(frame.ends_with(&payload));
        assert_eq!(frame[12..24], [GUEST_MAC, HOST_MAC].concat());
    }
}

#[test]
fn checksum_is_left_to_the_driver_that_takes_that() {
    in_namespace("checksum_is_left_to_the_driver_that_takes_that", || {
        let with_csum = 1 << VIRTIO_NET_F_GUEST_CSUM;
        let mut nic = nic(1);
        let host = host_socket();
        for (features, flags) in [(with_csum, 1), (0, 0), (with_csum, 1)] {
            // Made for nobody, or for the driver before: not for this one.
            host.send(b"before the driver").expect("send");
            let features = VERSION_1 | 1 << VIRTIO_NET_F_MRG_RXBUF | features;
            let mut guest = Guest::start(&mut nic, features);
            host.send(b"finished or not").expect("send to the guest");
            let frame = guest.receive(0);
            assert!(frame.ends_with(b"finished or not"));
            // VIRTIO_NET_HDR_F_NEEDS_CSUM, and where UDP begins.
            assert_eq!(frame[0], flags, "{features:#x}");
            let start = u16::from_le_bytes([frame[6], frame[7]]);
            assert_eq!(start, if flags == 1 { 34 } else { 0 });
        }
    });
}

#[test]
fn device_that_is_reset_in_the_middle_starts_anew() {
    in_namespace("device_that_is_reset_in_the_middle_starts_anew", || {
        let mut nic = nic(1);
        let features = nic.features();
        let host = host_socket();
        for _ in 0..3 {
            let mut guest = Guest::start(&mut nic, features);
            guest.send(0, &udp_frame(b"first"));
            host.recv(&mut [0; 16]).expect("the guest's datagram");
            host.send(b"fresh").expect("send to the guest");
            assert!(guest.receive(0).ends_with(b"fresh"), "none from before");
            drop(guest);
            // Half of what a frame needs, and frames behind it.
            let mut guest = Guest::start_bare(&mut nic, features);
            guest.give(0, 500);
            for _ in 0..4 {
                host.send(&[b'x'; 1400]).expect("send to the guest");
            }
            guest.run();
        }
    });
}

#[test]
fn frames_that_nobody_has_buffers_for_do_not_wake() {
    in_namespace("frames_that_nobody_has_buffers_for_do_not_wake", || {
        let mut nic = nic(1);
        let features = nic.features();
        let mut guest = Guest::start_bare(&mut nic, features);
        let host = host_socket();
        for _ in 0..5 {
            host.send(b"wait").expect("send to the guest");
            assert!(!guest.is_awake());
        }
        guest.give(0, 2000);
        for _ in 0..5 {
            assert!(guest.receive(0).ends_with(b"wait"));
        }
        guest.run();
        assert!(!guest.is_awake());
    });
}

#[test]
fn pairs_in_use_are_those_that_the_driver_asked_for() {
    in_namespace("pairs_in_use_are_those_that_the_driver_asked_for", || {
        let mut nic = nic(3);
        let features = nic.features();
        let mut guest = Guest::start(&mut nic, features);
        let host = host_socket();
        // Flows are spread over the queues by their hash: with one in use all of them come there.
        let others: Vec<UdpSocket> = (0..48)
            .map(|_| UdpSocket::bind("192.0.2.1:0").expect("bind"))
            .collect();
        let spread = |guest: &mut Guest, pairs: usize| {
            for other in &others {
                other.send_to(b"spread", "192.0.2.2:6000").expect("send");
            }
            let mut by_pair = vec![0; 3];
            for _ in 0..others.len() {
                by_pair[guest.receive_any(pairs)] += 1;
            }
            by_pair
        };
        assert_eq!(spread(&mut guest, 1), [48, 0, 0]);
        assert_eq!(guest.command(3), 0);
        let by_pair = spread(&mut guest, 3);
        assert!(by_pair.iter().all(|count| *count > 0), "{by_pair:?}");
        for pair in 0..3 {
            guest.send(pair, &udp_frame(b"from each"));
            host.recv(&mut [0; 16]).expect("the guest's datagram");
        }
        for (pairs, answer) in [(0, 1), (4, 1), (2, 0), (1, 0), (1, 0)] {
            assert_eq!(guest.command(pairs), answer, "{pairs}");
        }
        assert_eq!(spread(&mut guest, 1), [48, 0, 0]);
    });
}

#[test]
fn taps_that_make_no_device_are_refused() {
    let check = |queues: Vec<NicQueue>, expect: &str| {
        let error = Nic::new(LINK, queues).expect_err("no device");
        assert_eq!(error.to_string(), expect);
    };
    let pairs = "make a network device of 0 pairs of queues (it takes 1 to 8)";
    check(vec![], pairs);
    let null = std::fs::File::open("/dev/null").expect("open");
    let null = NicQueue {
        tap: null.into(),
        vhost: None,
    };
    check(vec![null], "take the taps of a network device");
    in_namespace("taps_that_make_no_device_are_refused", || {
        let multi = |name: &str| NicQueue {
            tap: test_tap::tap(name, IFF_MULTI_QUEUE).expect("make a tap"),
            vhost: None,
        };
        let mixed = "make one network device of the taps tap0 and tap1";
        check(vec![multi("tap0"), multi("tap1")], mixed);
        let tap = test_tap::tap("tap2", 0).expect("make a tap");
        let twin = tap.try_clone().expect("share it");
        let queues = [tap, twin].map(|tap| NicQueue { tap, vhost: None });
        let one = "take several queues of the tap tap2: it was made without IFF_MULTI_QUEUE";
        check(queues.into(), one);
    });
}

#[test]
fn vhost_that_is_none_is_done_without() {
    in_namespace("vhost_that_is_none_is_done_without", || {
        let null = std::fs::File::open("/dev/null").expect("open");
        let queue = NicQueue {
            vhost: Some(null.into()),
            ..queue(0)
        };
        let nic = Nic::new(LINK, vec![queue]).expect("a device");
        assert_eq!(nic.datapath(), Datapath::UserSpace);
    });
}

#[test]
fn driver_finds_address_link_pairs_and_mtu() {
    in_namespace("driver_finds_address_link_pairs_and_mtu", || {
        let test = "driver_finds_address_link_pairs_and_mtu";
        let Some(mut driver) = driver_or_skip(test, Box::new(nic(2))) else {
            return;
        };
        assert_eq!(driver.config(0, 4), 0x1041_1af4);
        assert_eq!(driver.config(11, 1), 2, "a network controller");
        let mut config = Vec::new();
        for at in 0..16 {
            let byte = driver.read(DEVICE, at, 1);
            config.push(u8::try_from(byte).expect("a byte"));
        }
        let expect = [&GUEST_MAC[..], &[1, 0, 2, 0, 0xdc, 5, 0, 0, 0, 0]].concat();
        assert_eq!(config, expect);
        assert_eq!(
            driver.read(COMMON, 18, 2),
            5,
            "two pairs and the control queue"
        );
        start_through_pci(&mut driver);
        start_through_pci(&mut driver);
    });
}

/// From negotiation to a frame, through the transport, and back by a reset. The driver's vectors are masked: what rings is pending.
fn start_through_pci(driver: &mut PciDriver) {
    let offered = driver.offered();
    driver.negotiate(offered & !INDIRECT);
    let bases = [0x1_0000, 0x1_4000, 0x1_8000, 0x1_c000, 0x2_0000];
    let count = driver.read(COMMON, 18, 2);
    let mut rings = Vec::new();
    for (index, base) in (0..u16::try_from(count).expect("five")).zip(bases) {
        rings.push(driver.queue(index, base, 16));
    }
    let status = driver.set_status(0xf);
    assert_eq!(status, 0xf, "{:?}", driver.desk.not_started());
    driver.desk.pump();
    let host = host_socket();
    host.send(b"through pci").expect("send to the guest");
    let buffer = crate::test_driver::into(0x10_0000, 2000);
    rings[0].request(&[buffer]);
    driver.notify(0);
    soon(|| {
        driver.desk.pump();
        rings[0].take_used()
    });
    soon(|| driver.interrupted(1).then_some(()));
    let frame = udp_frame(b"through pci");
    let written = driver.memory.write_slice(&frame, GuestAddress(0x10_1000));
    written.expect("in memory");
    let length = u32::try_from(frame.len()).expect("short");
    rings[1].request(&[crate::test_driver::out(0x10_1000, length)]);
    driver.notify(1);
    soon(|| {
        driver.desk.pump();
        rings[1].take_used()
    });
    host.recv(&mut [0; 16]).expect("the guest's datagram");
    assert_eq!(driver.set_status(0), 0);
    assert!(!driver.desk.occupied());
}

/// Tries until there is a result.
fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(result) = look() {
            return result;
        }
        assert!(Instant::now() < deadline, "it should have happened by now");
        std::thread::yield_now();
    }
}

/// The host's, or a printed skip.
fn vhost_or_skip(test: &str) -> Option<OwnedFd> {
    let mut options = std::fs::File::options();
    match options.read(true).write(true).open("/dev/vhost-net") {
        Ok(file) => Some(file.into()),
        Err(error) => {
            println!("skip {test}: open /dev/vhost-net: {error}");
            None
        }
    }
}

#[test]
fn kernel_moves_frames_until_the_device_is_reset() {
    let test = "kernel_moves_frames_until_the_device_is_reset";
    let Some(vhost) = vhost_or_skip(test) else {
        return;
    };
    in_namespace(test, || {
        let mut nic = nic(1);
        nic.vhosts.extend(vhost_for_us(vhost).map(Arc::new));
        assert_eq!(nic.datapath(), Datapath::Vhost);
        let Some(mut driver) = driver_or_skip(test, Box::new(nic)) else {
            return;
        };
        start_through_pci(&mut driver);
        start_through_pci(&mut driver);
        // A ring that is broken: the kernel says so, and the driver sees it.
        driver.negotiate(VERSION_1);
        driver.queue(0, 0x1_0000, 16);
        let mut transmit = driver.queue(1, 0x1_4000, 16);
        assert_eq!(driver.set_status(0xf), 0xf);
        transmit.descriptor(0, (0x10_0000, 60), crate::test_driver::NEXT, 99);
        transmit.offer(0);
        driver.notify(1);
        soon(|| {
            driver.desk.pump();
            (driver.status() & 0x40 != 0).then_some(())
        });
    });
}

#[test]
fn queues_are_shared_out_as_the_driver_knows_them() {
    let memory = crate::test_driver::memory();
    let lane = |base: u64| {
        let lane = crate::test_driver::link::ActiveLane::new(&memory, base * 0x4000, 16);
        Some(lane.1)
    };
    let check = |queues: Vec<Option<ActiveQueue>>,
                 features: &[u32],
                 expect: Result<(usize, bool), usize>| {
        let features = features.iter().fold(0, |all, bit| all | 1 << bit);
        match (share_out(queues, features, 2, &memory), expect) {
            (Ok((pairs, control)), Ok(expect)) => {
                assert_eq!((pairs.len(), control.is_some()), expect);
            }
            (Err(ActivateError::QueueMissing { index }), Err(expect)) => {
                assert_eq!(index, expect);
            }
            (found, expect) => panic!("{found:?}, expected {expect:?}"),
        }
    };
    let (control, many) = (VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MQ);
    let all = || (1..6).map(lane).collect::<Vec<_>>();
    check(all(), &[control, many], Ok((2, true)));
    check(all(), &[control], Ok((1, true)));
    check(all(), &[], Ok((1, false)));
    check(all(), &[many], Ok((2, false)));
    let without = |index: usize| {
        let mut queues = all();
        queues[index] = None;
        queues
    };
    check(without(0), &[control, many], Err(0));
    check(without(1), &[control, many], Err(1));
    check(without(2), &[control, many], Ok((1, true)));
    check(without(2), &[control], Err(2));
    check(without(3), &[control], Ok((1, true)));
    check(without(4), &[control, many], Err(4));
    check(vec![], &[], Err(0));
}

/// Until the backend has something to do.
fn wait(backend: &dyn Backend, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = rustix::event::Timespec::try_from(left).expect("seconds");
    let mut wake = [PollFd::from_borrowed_fd(backend.wake(), PollFlags::IN)];
    poll(&mut wake, Some(&left)).expect("poll") == 1
}
