//! What a daemon finds that another one has left.

use super::*;

fn container(text: &str) -> ContainerId {
    text.parse().unwrap()
}

#[test]
fn disks_of_the_vm_are_told_apart_by_their_names() {
    let address = |text: &str| text.parse::<PciAddress>().unwrap();
    let disks = [
        ("scratch", "0000:00:03.0"),
        ("4f2a9c", "0000:00:04.0"),
        ("block-7.0-w", "0000:00:05.0"),
        ("block-7.0-r", "0000:00:06.0"),
    ];
    let disks = disks.map(|(id, at)| (id.parse().unwrap(), address(at)));
    let users = [("0000:00:04.0", "a"), ("0000:00:05.0", "b")];
    let users = users.map(|(at, id)| (address(at), BTreeSet::from([container(id)])));
    let found = found(disks.into(), users.into());
    let found: Vec<_> = found
        .iter()
        .map(|(id, disk)| (id.as_str(), disk.address.to_string(), disk.users.len()))
        .collect();
    let expect = [
        ("block-7.0-r", "0000:00:06.0".to_owned(), 0),
        ("block-7.0-w", "0000:00:05.0".to_owned(), 1),
    ];
    assert_eq!(found, expect);
}
