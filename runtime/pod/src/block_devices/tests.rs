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
        .map(|(key, disk)| (key.clone(), disk.address.to_string(), disk.users.len()))
        .collect();
    let disk = |id: &str| Key::Disk(id.parse().unwrap());
    let expect = [
        (disk("block-7.0-r"), "0000:00:06.0".to_owned(), 0),
        (disk("block-7.0-w"), "0000:00:05.0".to_owned(), 1),
    ];
    assert_eq!(found, expect);
}

#[test]
fn functions_of_the_vm_are_told_apart_by_when_they_came() {
    let address = |text: &str| text.parse::<PciAddress>().unwrap();
    let (start, later, unused) = ("0000:41:00.0", "0000:42:00.0", "0000:43:00.0");
    let status = serde_json::json!({
        "version": 1, "name": "web", "pidfd": 0, "uptime_us": 1, "memory_bytes": 1, "processors": 1, "disks": {},
        "vfio": { start: "0000:00:03.0", later: "0000:00:05.0", unused: "0000:00:06.0" },
        "later_functions": [later, unused],
    });
    let status = serde_json::from_value(status).unwrap();
    let mut users = Users::from([
        (address("0000:00:03.0"), BTreeSet::from([container("a")])),
        (address("0000:00:05.0"), BTreeSet::from([container("b")])),
    ]);
    let found = functions::found(&status, &mut users);
    let found: Vec<_> = found
        .iter()
        .map(|(key, disk)| (key.clone(), disk.users.len()))
        .collect();
    let expect = [
        (Key::Function(address(later)), 1),
        (Key::Function(address(unused)), 0),
    ];
    assert_eq!(found, expect);
    assert_eq!(users.len(), 1);
}
