//! What can be mapped, and to what.

use oci_spec::runtime::{LinuxIdMappingBuilder, UserBuilder};

use super::*;

fn range(container: u32, guest: u32, length: u32) -> IdMapping {
    IdMapping {
        container,
        guest,
        length,
    }
}

fn good() -> Vec<IdMapping> {
    vec![range(0, 65536, 1000), range(1000, 200_000, 10)]
}

#[test]
fn range_that_cannot_be_mapped_is_refused_by_name() {
    let check = |ranges: Vec<IdMapping>, expect: &str| {
        let uids = IdMappings::checked(ranges.clone(), good()).unwrap_err();
        let gids = IdMappings::checked(good(), ranges).unwrap_err();
        assert!(uids.message.contains(expect), "{uids}");
        assert!(uids.message.contains("uids"), "{uids}");
        assert_eq!(uids.message.replace("uids", "gids"), gids.message);
    };
    check(vec![], "don't have 0");
    check(vec![range(1, 1, 10)], "don't have 0");
    check(vec![range(0, 1, 0)], "the range is empty");
    check(vec![range(0, u32::MAX, 1)], "beyond the largest id");
    check(
        vec![range(0, 1, 1), range(u32::MAX, 7, 1)],
        "beyond the largest id",
    );
    check(
        vec![range(0, 100, 10), range(9, 500, 1)],
        "another range has some",
    );
    check(
        vec![range(10, 500, 1), range(0, 495, 10)],
        "another range has some",
    );
    let many = (0..=340).map(|id| range(id, id, 1)).collect();
    check(many, "341 ranges");
    IdMappings::checked(vec![range(0, 0, u32::MAX)], good()).unwrap();
    IdMappings::checked(vec![range(0, 10, 10), range(10, 0, 10)], good()).unwrap();
}

#[test]
fn ids_are_those_of_the_guest() {
    let mappings = IdMappings::checked(good(), vec![range(0, 7, 3)]).unwrap();
    assert_eq!(mappings.root(), (65536, 7));
    assert_eq!(
        mappings.texts(),
        ("0 65536 1000\n1000 200000 10\n".into(), "0 7 3\n".into())
    );
    let user = |uid: u32, gid: u32, others: &[u32]| {
        let user = UserBuilder::default().uid(uid).gid(gid);
        let user = user.additional_gids(others).build().unwrap();
        mappings.user(&user).map_err(|failure| failure.message)
    };
    assert_eq!(user(999, 2, &[1]), Ok(66535));
    assert_eq!(user(1009, 0, &[]), Ok(200_009));
    let not_mapped = |what| {
        Err(format!(
            "the {what} is not mapped in the pod's user namespace"
        ))
    };
    assert_eq!(user(1010, 0, &[]), not_mapped("user 1010"));
    assert_eq!(user(0, 3, &[]), not_mapped("group 3"));
    assert_eq!(user(0, 0, &[0, 4]), not_mapped("group 4"));
}

#[test]
fn lists_of_a_specification_are_compared_whole() {
    let mappings = IdMappings::checked(vec![range(0, 5, 9)], vec![range(0, 6, 9)]).unwrap();
    let list = |guest: u32| {
        let one = LinuxIdMappingBuilder::default().container_id(0_u32);
        vec![one.host_id(guest).size(9_u32).build().unwrap()]
    };
    assert!(mappings.equal(&list(5), &list(6)));
    assert!(!mappings.equal(&list(6), &list(6)));
    assert!(!mappings.equal(&list(5), &[]));
}
