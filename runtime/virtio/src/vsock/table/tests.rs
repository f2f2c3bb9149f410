//! Tests of the connection table and its ports.

use std::{collections::HashSet, os::unix::net::UnixStream};

use super::*;

fn client() -> OwnedFd {
    let (client, _other) = UnixStream::pair().expect("a socket pair");
    client.into()
}

fn add(table: &mut Table) -> Option<u32> {
    let connection = table.add(client());
    connection.map(|connection| connection.host_port())
}

#[test]
fn table_full_refuses_and_has_room_again() {
    let mut table = Table::new(77);
    let ports: HashSet<u32> = std::iter::from_fn(|| add(&mut table)).collect();
    assert_eq!(ports.len(), 1023);
    assert!(
        ports
            .iter()
            .all(|port| (0x4000_0000..0x8000_0000).contains(port))
    );
    let one = *ports.iter().next().expect("there are many");
    table.remove(one);
    table.remove(one);
    let next = add(&mut table).expect("room for one");
    assert!(!ports.contains(&next), "a port comes back only after long");
    assert!(add(&mut table).is_none());
}

#[test]
fn table_stale_port_finds_nothing() {
    let mut table = Table::new(u32::MAX);
    let old = add(&mut table).expect("room");
    table.remove(old);
    let new = add(&mut table).expect("room");
    assert_eq!(old & 0x3ff, new & 0x3ff, "the slot is used again");
    assert!(table.get(old).is_none());
    assert!(table.get(new).is_some());
    assert!(table.get(0).is_none());
    assert!(table.get(new & 0x3ff).is_none());
    assert!(table.get(u32::MAX).is_none());
}

#[test]
fn table_generation_wraps_within_its_bits() {
    let mut table = Table::new(GENERATIONS - 1);
    let port = add(&mut table).expect("room");
    assert_eq!(port, FIRST_PORT);
}
