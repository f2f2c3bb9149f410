//! What vhost is told, and the kernel's answers where there is one.

use std::{fs::File, os::fd::AsFd};

use super::*;
use crate::interrupt::Wire;

fn memory() -> GuestRam {
    let ranges = [
        (GuestAddress(0), 0xa_0000),
        (GuestAddress(0x10_0000), 0x10_0000),
    ];
    GuestRam::from_ranges(&ranges).unwrap()
}

#[test]
fn memory_table_names_each_region() {
    let memory = memory();
    let table = memory_table(&memory);
    let address = |address| host_address(&memory, address, 1).unwrap();
    assert_eq!(
        table,
        [
            2,
            0,
            0xa_0000,
            address(0),
            0,
            0x10_0000,
            0x10_0000,
            address(0x10_0000),
            0
        ]
    );
}

fn ring(wire: &Wire, table: u64, available: u64, used: u64) -> VhostRing<'_> {
    let eventfd = wire.as_fd();
    VhostRing {
        size: 256,
        table,
        available,
        used,
        next: 0,
        kick: eventfd,
        call: eventfd,
        error: eventfd,
    }
}

#[test]
fn ring_lies_in_one_piece_of_memory_or_is_refused() {
    let memory = memory();
    let wire = Wire::new().unwrap();
    let address = |address| host_address(&memory, address, 1).unwrap();
    let found = ring(&wire, 0x9_f000, 0x10_0000, 0x10_1000).addresses(1, &memory);
    let expect = RingAddresses {
        index: 1,
        flags: 0,
        table: address(0x9_f000),
        used: address(0x10_1000),
        available: address(0x10_0000),
        log: 0,
    };
    assert_eq!(found.unwrap(), expect);
    for (table, available, used) in [
        (0x9_f010, 0x10_0000, 0x10_1000),
        (0x9_f000, 0x9_fffe, 0x10_1000),
        (0x9_f000, 0x10_0000, 0x1f_f800),
        (u64::MAX - 15, 0x10_0000, 0x10_1000),
    ] {
        let found = ring(&wire, table, available, used).addresses(0, &memory);
        assert!(matches!(found, Err(VhostError::Ring { .. })), "{found:?}");
    }
}

#[test]
fn descriptor_of_something_else_is_refused() {
    let null = File::open("/dev/null").unwrap();
    let error = VhostNet::new(null.into()).unwrap_err();
    assert_eq!(error.to_string(), "ask for the features of vhost-net");
}

/// The kernel's, or a printed skip.
fn vhost_or_skip(test: &str) -> Option<VhostNet> {
    match File::options()
        .read(true)
        .write(true)
        .open("/dev/vhost-net")
    {
        Ok(file) => Some(VhostNet::new(file.into()).unwrap()),
        Err(error) => {
            println!("skip {test}: open /dev/vhost-net: {error}");
            None
        }
    }
}

#[test]
fn vhost_takes_features_memory_and_rings() {
    let Some(vhost) = vhost_or_skip("vhost_takes_features_memory_and_rings") else {
        return;
    };
    const VERSION_1: u64 = 1 << 32;
    assert_eq!(vhost.features() & VERSION_1, VERSION_1);
    let memory = memory();
    let wire = Wire::new().unwrap();
    vhost.set_up(VERSION_1, &memory).unwrap();
    for index in [0, 1] {
        let ring = ring(&wire, 0x1_0000, 0x1_1000, 0x1_2000);
        vhost.set_ring(index, &ring, &memory).unwrap();
        // Not a tap, nor a socket.
        assert!(vhost.attach(index, wire.as_fd()).is_err());
        vhost.detach(index).unwrap();
    }
    assert!(vhost.detach(2).is_err());
    assert!(vhost.set_up(1 << 63, &memory).is_err());
}

#[test]
fn vhost_has_one_owner() {
    let Some(vhost) = vhost_or_skip("vhost_has_one_owner") else {
        return;
    };
    let again = vhost.fd.try_clone().unwrap();
    assert!(VhostNet::new(again).is_err());
}
