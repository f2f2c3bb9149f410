//! Tests of what the muxer answers to packets that are wrong, and of its bounds. Over the whole device, for the bounds are where
//! its parts meet.

use std::{io::Write, time::Duration};

use crate::vsock::{
    limits,
    packet::{Header, Op, Ports, STREAM, Sides},
    tests::guest::{Guest, expect_end, expect_open, from_guest, read, shutdown},
};

const NOBODY: Ports = Ports {
    host: 52,
    guest: 1024,
};

/// A packet that is no connection's, and what comes back.
fn check(header: Header, payload: &[u8], expect: Option<u16>) {
    let mut guest = Guest::ready();
    guest.send(header, payload);
    guest.settle();
    assert_eq!(guest.sent(), 1);
    let got = guest.next();
    assert_eq!(
        got.as_ref().map(|got| got.header.kind),
        expect,
        "{header:?}"
    );
    if let Some(got) = got {
        let ports = (got.header.src_port, got.header.dst_port);
        assert_eq!(ports, (header.dst_port, header.src_port));
        assert_eq!(got.header.op, Op::Reset as u16);
    }
    guest.expect_nothing();
}

/// A packet for a connection that ends it: the client sees the end, the guest gets one RST.
fn check_fatal(header: impl Fn(Ports) -> Header, payload: &[u8]) {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    guest.send(header(ports), payload);
    guest.settle();
    guest.expect(Op::Reset);
    guest.expect_nothing();
    expect_end(&mut client);
    // It is gone: the next packet is for nobody.
    guest.send(from_guest(ports, Op::CreditRequest), &[]);
    guest.settle();
    guest.expect(Op::Reset);
    guest.connect(10);
}

#[test]
fn request_of_the_guest_is_refused() {
    check(from_guest(NOBODY, Op::Request), &[], Some(STREAM));
}

#[test]
fn packet_of_no_connection_is_reset() {
    check(from_guest(NOBODY, Op::Data), b"lost", Some(STREAM));
    check(from_guest(NOBODY, Op::Response), &[], Some(STREAM));
    check(from_guest(NOBODY, Op::CreditUpdate), &[], Some(STREAM));
    check(shutdown(NOBODY, Sides::BOTH), &[], Some(STREAM));
}

#[test]
fn reset_of_no_connection_is_not_answered() {
    check(from_guest(NOBODY, Op::Reset), &[], None);
}

#[test]
fn packet_of_another_type_is_reset_in_kind() {
    let header = Header {
        kind: 2,
        ..from_guest(NOBODY, Op::Request)
    };
    check(header, &[], Some(2));
}

#[test]
fn packet_with_a_forged_cid_is_dropped() {
    let forged = Header {
        src_cid: 4,
        ..from_guest(NOBODY, Op::Request)
    };
    check(forged, &[], None);
    let astray = Header {
        dst_cid: 0,
        ..from_guest(NOBODY, Op::Request)
    };
    check(astray, &[], None);
}

#[test]
fn chain_without_a_whole_header_is_given_back() {
    let mut guest = Guest::ready();
    guest.send_raw(&[0; 43]);
    guest.send_raw(&[1]);
    guest.settle();
    assert_eq!(guest.sent(), 2);
    guest.expect_nothing();
}

#[test]
fn packet_that_breaks_the_rules_ends_its_connection() {
    let op = |op| move |ports| from_guest(ports, op);
    check_fatal(op(Op::Request), &[]);
    check_fatal(op(Op::Response), &[]);
    check_fatal(
        |ports| Header {
            op: 99,
            ..from_guest(ports, Op::Data)
        },
        &[],
    );
    check_fatal(
        |ports| Header {
            kind: 7,
            ..from_guest(ports, Op::Data)
        },
        &[],
    );
    // Longer than its buffers.
    check_fatal(
        |ports| Header {
            length: 65537,
            ..from_guest(ports, Op::Data)
        },
        &[0; 65536],
    );
    check_fatal(op(Op::CreditRequest), b"payload");
}

#[test]
fn data_after_its_end_ends_the_connection() {
    let mut guest = Guest::ready();
    let (_client, ports) = guest.connect(9);
    guest.send(shutdown(ports, Sides::SEND), &[]);
    guest.send(from_guest(ports, Op::Data), b"one more thing");
    guest.settle();
    guest.expect(Op::Reset);
    guest.expect_nothing();
}

#[test]
fn data_before_the_answer_ends_the_connection() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"CONNECT 9\n").expect("greet");
    guest.settle();
    let request = guest.expect(Op::Request);
    let ports = Ports {
        host: request.header.src_port,
        guest: 9,
    };
    guest.send(from_guest(ports, Op::Data), b"too soon");
    guest.settle();
    guest.expect(Op::Reset);
    expect_end(&mut client);
}

#[test]
fn data_beyond_credit_ends_the_connection() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    let mut sent = 0_usize;
    // The client reads nothing: its socket takes some, we hold our promise, and then it is too much.
    while guest
        .next()
        .is_none_or(|got| got.header.op != Op::Reset as u16)
    {
        guest.send(from_guest(ports, Op::Data), &[0; 65536]);
        guest.settle();
        guest.sent();
        sent += 65536;
        assert!(sent < 4 * 1024 * 1024, "it goes on for ever");
    }
    assert!(sent > 256 * 1024);
    // What the socket took is the client's.
    read(&mut client, 65536);
}

#[test]
fn credit_that_lies_harms_only_the_liar() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    let claims = [
        (0, 0),
        (u32::MAX, u32::MAX),
        (u32::MAX, 5),
        (1000, 0x8000_0000),
        (0, 1),
    ];
    for (buf_alloc, fwd_cnt) in claims {
        let header = Header {
            buf_alloc,
            fwd_cnt,
            ..from_guest(ports, Op::CreditUpdate)
        };
        guest.send(header, &[]);
        client.write_all(&[3; 100]).expect("write");
        guest.settle();
    }
    let got: usize = std::iter::from_fn(|| guest.next())
        .map(|got| got.payload.len())
        .sum();
    assert!(got <= 500);
    expect_open(&mut client);
    // With an honest claim it goes on.
    let received = u32::try_from(got).expect("a few");
    let honest = Header {
        fwd_cnt: received,
        ..from_guest(ports, Op::CreditUpdate)
    };
    guest.send(honest, &[]);
    guest.settle();
    let rest: usize = std::iter::from_fn(|| guest.next())
        .map(|got| got.payload.len())
        .sum();
    assert_eq!(got + rest, 500);
}

#[test]
fn replies_that_fill_their_list_hold_up_the_transmit_queue_only() {
    let mut guest = Guest::new();
    let mut sent = 0;
    // Nobody takes the answers.
    for _ in 0..20 {
        for _ in 0..20 {
            guest.send(from_guest(NOBODY, Op::Request), &[]);
        }
        guest.settle();
        sent += guest.sent();
        if sent == limits::RESETS {
            break;
        }
        assert!(sent < limits::RESETS);
    }
    assert_eq!(sent, limits::RESETS);
    assert!(!guest.is_woken(), "waits without spinning");
    // Buffers come: every single answer does too, and the queue goes on.
    let mut answers = 0;
    for _ in 0..10 {
        guest.post(64, 64);
        guest.settle();
        while guest.next().is_some() {
            answers += 1;
        }
        sent += guest.sent();
    }
    assert_eq!(answers, sent);
    assert_eq!(sent, 260);
}

#[test]
fn clients_beyond_the_cap_are_refused_until_one_leaves() {
    let mut guest = Guest::ready();
    if !raise_descriptor_limit() {
        eprintln!("skipped: this process may not have 4096 descriptors");
        return;
    }
    let mut clients = Vec::new();
    for _ in 0..usize::from(limits::CONNECTIONS) {
        clients.push(guest.client());
        if clients.len() % 50 == 0 {
            guest.settle();
        }
    }
    guest.settle();
    let mut refused = guest.client();
    guest.settle();
    expect_end(&mut refused);
    expect_open(&mut clients[0]);
    clients.pop();
    guest.settle();
    guest.connect(9);
}

/// Two descriptors for each client of a full device.
fn raise_descriptor_limit() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: now.maximum.map_or(Some(4096), |most| Some(most.min(4096))),
        maximum: now.maximum,
    };
    let enough = now.current.is_none_or(|most| most >= 4096);
    let raised = enough || setrlimit(Resource::Nofile, wanted).is_ok();
    raised
        && getrlimit(Resource::Nofile)
            .current
            .is_none_or(|most| most >= 4096)
}

#[test]
fn greeting_that_never_comes_is_ended_by_its_deadline() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"CONN").expect("write a part");
    guest.settle();
    guest.expire_after(limits::GREETING_DEADLINE - Duration::from_secs(1));
    expect_open(&mut client);
    guest.expire_after(limits::GREETING_DEADLINE);
    expect_end(&mut client);
}

#[test]
fn answer_that_never_comes_ends_both_sides() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"CONNECT 9\n").expect("greet");
    guest.settle();
    guest.expect(Op::Request);
    guest.expire_after(limits::ANSWER_DEADLINE);
    expect_end(&mut client);
    guest.expect(Op::Reset);
    guest.expect_nothing();
}

#[test]
fn end_that_the_guest_does_not_answer_is_forced() {
    let mut guest = Guest::ready();
    let (client, _ports) = guest.connect(9);
    drop(client);
    guest.settle();
    assert_eq!(guest.expect(Op::Shutdown).header.flags, Sides::BOTH.bits());
    guest.expect_nothing();
    guest.expire_after(limits::CLOSE_DEADLINE);
    guest.expect(Op::Reset);
    guest.expect_nothing();
}

#[test]
fn client_that_never_takes_the_rest_is_ended() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    for _ in 0..4 {
        guest.send(from_guest(ports, Op::Data), &[9; 65536]);
    }
    guest.send(shutdown(ports, Sides::BOTH), &[]);
    guest.settle();
    guest.expect_nothing();
    guest.expire_after(limits::DRAIN_DEADLINE - Duration::from_secs(1));
    guest.expect_nothing();
    // It takes a little: the time starts anew.
    read(&mut client, 200_000);
    guest.settle();
    guest.expire_after(limits::DRAIN_DEADLINE + Duration::from_secs(1));
    guest.expect(Op::Reset);
}

#[test]
fn deadline_of_a_quiet_connection_is_none() {
    let mut guest = Guest::ready();
    let (mut client, _ports) = guest.connect(9);
    guest.expire_after(Duration::from_secs(100_000));
    expect_open(&mut client);
    guest.expect_nothing();
}
