//! Tests of the packet codec and of the one check that guest packets pass.

use proptest::prelude::*;

use super::*;

const GUEST: u64 = 3;
const PORTS: Ports = Ports {
    host: 0x4000_0400,
    guest: 1024,
};

fn from_guest(op: u16) -> Header {
    Header {
        src_cid: GUEST,
        dst_cid: HOST_CID,
        src_port: PORTS.guest,
        dst_port: PORTS.host,
        kind: STREAM,
        op,
        buf_alloc: 65536,
        fwd_cnt: 7,
        ..Header::default()
    }
}

fn check(header: Header, behind: usize, expect: Result<(Op, usize), Refused>) {
    let checked = header.check(GUEST, behind);
    assert_eq!(
        checked.map(|packet| (packet.op, packet.payload)),
        expect,
        "{header:?} with {behind} bytes behind"
    );
}

fn reset(kind: u16) -> Result<(Op, usize), Refused> {
    Err(Refused::Reset { ports: PORTS, kind })
}

#[test]
fn header_encoded_has_the_layout_of_the_specification() {
    let header = Header {
        src_cid: 0x0807_0605_0403_0201,
        dst_cid: 0x100f_0e0d_0c0b_0a09,
        src_port: 0x1413_1211,
        dst_port: 0x1817_1615,
        length: 0x1c1b_1a19,
        kind: 0x1e1d,
        op: 0x201f,
        flags: 0x2423_2221,
        buf_alloc: 0x2827_2625,
        fwd_cnt: 0x2c2b_2a29,
    };
    let expect: Vec<u8> = (1..=44).collect();
    assert_eq!(header.encode().as_slice(), expect);
}

proptest! {
    #[test]
    fn header_decoded_and_encoded_is_the_same(bytes in prop::array::uniform32(any::<u8>()), rest in prop::array::uniform12(any::<u8>())) {
        let mut whole = [0; HEADER_BYTES];
        whole[..32].copy_from_slice(&bytes);
        whole[32..].copy_from_slice(&rest);
        prop_assert_eq!(Header::decode(&whole).encode(), whole);
    }

    #[test]
    fn check_of_any_header_promises_only_bytes_that_are_there(bytes in prop::array::uniform32(any::<u8>()), behind in 0_usize..100_000) {
        let mut whole = [0; HEADER_BYTES];
        whole[..32].copy_from_slice(&bytes);
        let mut header = Header::decode(&whole);
        header.src_cid = GUEST;
        header.dst_cid = HOST_CID;
        header.kind = STREAM;
        header.op %= 9;
        header.length %= 200_000;
        if let Ok(packet) = header.check(GUEST, behind) {
            prop_assert!(packet.payload <= behind);
        }
    }
}

#[test]
fn data_with_its_payload_is_a_packet() {
    let header = Header {
        length: 100,
        ..from_guest(5)
    };
    check(header, 100, Ok((Op::Data, 100)));
    check(header, 4096, Ok((Op::Data, 100)));
}

#[test]
fn data_longer_than_its_buffers_is_reset() {
    let header = Header {
        length: 101,
        ..from_guest(5)
    };
    check(header, 100, reset(STREAM));
    let header = Header {
        length: u32::MAX,
        ..from_guest(5)
    };
    check(header, 0, reset(STREAM));
}

#[test]
fn control_packet_with_payload_is_reset() {
    for op in [1, 2, 4, 6, 7] {
        let header = Header {
            length: 1,
            ..from_guest(op)
        };
        check(header, 1, reset(STREAM));
    }
}

#[test]
fn unknown_op_or_type_is_reset_with_its_type() {
    check(from_guest(0), 0, reset(STREAM));
    check(from_guest(8), 0, reset(STREAM));
    check(from_guest(u16::MAX), 0, reset(STREAM));
    let seqpacket = Header {
        kind: 2,
        ..from_guest(1)
    };
    check(seqpacket, 0, reset(2));
}

#[test]
fn reset_is_never_answered() {
    check(from_guest(3), 0, Ok((Op::Reset, 0)));
    let with_length = Header {
        length: 50,
        ..from_guest(3)
    };
    check(with_length, 0, Ok((Op::Reset, 0)));
    let wrong_type = Header {
        kind: 9,
        ..from_guest(3)
    };
    check(wrong_type, 0, Err(Refused::Drop));
}

#[test]
fn wrong_cid_is_dropped() {
    let forged = Header {
        src_cid: 4,
        ..from_guest(5)
    };
    check(forged, 0, Err(Refused::Drop));
    // The low 32 bits alone don't make it the guest's.
    let forged = Header {
        src_cid: GUEST | 1 << 32,
        ..from_guest(5)
    };
    check(forged, 0, Err(Refused::Drop));
    let elsewhere = Header {
        dst_cid: 1,
        ..from_guest(1)
    };
    check(elsewhere, 0, Err(Refused::Drop));
}

#[test]
fn shutdown_with_unknown_flags_keeps_the_known() {
    let header = Header {
        flags: u32::MAX,
        ..from_guest(4)
    };
    let packet = header.check(GUEST, 0).expect("a fine packet");
    assert_eq!(packet.sides, Sides::BOTH);
}
