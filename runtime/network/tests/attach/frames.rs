//! Ethernet frames as a guest writes and reads them, byte for byte (RFC 826, 791, 792, 8200, 4443, 4861).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Mac;

const BROADCAST: Mac = Mac([0xff; 6]);
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// ICMPv6: neighbour solicitation and advertisement.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

fn ethernet(to: Mac, from: Mac, protocol: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &protocol, payload].concat()
}

/// Who has `target`? Asked by `from`.
pub(crate) fn solicit(mac: Mac, from: IpAddr, target: IpAddr) -> Vec<u8> {
    match (from, target) {
        (IpAddr::V4(from), IpAddr::V4(target)) => {
            let arp = arp(1, (mac, from), (Mac([0; 6]), target));
            ethernet(BROADCAST, mac, ARP, &arp)
        }
        (IpAddr::V6(from), IpAddr::V6(target)) => {
            let low = target.octets();
            let group = Mac([0x33, 0x33, 0xff, low[13], low[14], low[15]]);
            let mut to = "ff02::1:ff00:0".parse::<Ipv6Addr>().unwrap().octets();
            to[13..].copy_from_slice(&low[13..]);
            // Option 1: the asker's own Ethernet address.
            let body = [&[0; 4][..], &low, &[1, 1], &mac.0].concat();
            let packet = icmpv6(from, to.into(), SOLICITATION, &body);
            ethernet(group, mac, IPV6, &packet)
        }
        _ => panic!("two families"),
    }
}

fn arp(operation: u8, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [
        &head[..],
        &from.0.0,
        &from.1.octets(),
        &to.0.0,
        &to.1.octets(),
    ]
    .concat()
}

/// The Ethernet address of `of`, if the frame says it.
pub(crate) fn solicited(frame: &[u8], of: IpAddr) -> Option<Mac> {
    match of {
        IpAddr::V4(of) => {
            let is_reply = frame.get(12..14)? == ARP && frame.get(20..22)? == [0, 2];
            let sender = frame.get(28..32)? == of.octets();
            (is_reply && sender).then(|| frame[22..28].try_into().ok().map(Mac))?
        }
        IpAddr::V6(of) => {
            let is_reply = frame.get(12..14)? == IPV6 && *frame.get(54)? == ADVERTISEMENT;
            let sender = frame.get(62..78)? == of.octets();
            (is_reply && sender).then(|| frame.get(80..86)?.try_into().ok().map(Mac))?
        }
    }
}

/// Whether the frame asks who has `target`.
pub(crate) fn asks(frame: &[u8], target: IpAddr) -> bool {
    match target {
        IpAddr::V4(target) => {
            frame.get(12..14) == Some(&ARP)
                && frame.get(20..22) == Some(&[0, 1])
                && frame.get(38..42) == Some(&target.octets())
        }
        IpAddr::V6(target) => {
            frame.get(12..14) == Some(&IPV6)
                && frame.get(54) == Some(&SOLICITATION)
                && frame.get(62..78) == Some(&target.octets())
        }
    }
}

/// An echo request.
pub(crate) fn ping(mac: Mac, to_mac: Mac, from: IpAddr, to: IpAddr) -> Vec<u8> {
    // Identifier, sequence number, data.
    let body = b"\0\x07\0\x01cofferdam";
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut echo = [&[8, 0, 0, 0], &body[..]].concat();
            put_checksum(&mut echo, 2, 0);
            let length = u16::try_from(20 + echo.len()).unwrap().to_be_bytes();
            let mut head = [&[0x45, 0], &length[..], &[0, 1, 0, 0, 64, 1, 0, 0]].concat();
            head.extend(from.octets());
            head.extend(to.octets());
            put_checksum(&mut head, 10, 0);
            ethernet(to_mac, mac, IPV4, &[head, echo].concat())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ethernet(to_mac, mac, IPV6, &icmpv6(from, to, 128, body))
        }
        _ => panic!("two families"),
    }
}

/// Whether the frame answers that echo request.
pub(crate) fn is_pong(frame: &[u8], from: IpAddr, to: IpAddr) -> bool {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.get(26..30) == Some(&from.octets())
                && frame.get(30..34) == Some(&to.octets())
                && frame.get(34) == Some(&0)
                && frame.ends_with(b"cofferdam")
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.get(22..38) == Some(&from.octets())
                && frame.get(38..54) == Some(&to.octets())
                && frame.get(54) == Some(&129)
                && frame.ends_with(b"cofferdam")
        }
        _ => false,
    }
}

fn icmpv6(from: Ipv6Addr, to: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], body].concat();
    let length = u16::try_from(message.len()).unwrap();
    // RFC 8200, section 8.1: the pseudo-header.
    let pseudo = sum(&from.octets()) + sum(&to.octets()) + u32::from(length) + 58;
    put_checksum(&mut message, 2, pseudo);
    let mut packet = [&[0x60, 0, 0, 0], &length.to_be_bytes()[..], &[58, 255]].concat();
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(message);
    packet
}

/// RFC 1071.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum()
}

fn put_checksum(bytes: &mut [u8], at: usize, before: u32) {
    let mut sum = sum(bytes) + before;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap();
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
