//! Kubernetes' changes over the default set.

use super::*;

fn bits(set: Option<&Capabilities>) -> Vec<String> {
    let mut names: Vec<_> = set.unwrap().iter().map(ToString::to_string).collect();
    names.sort();
    names
}

fn sets(add: &[&str], drop: &[&str], ambient: &[&str]) -> LinuxCapabilities {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let security = Security {
        capabilities: CapabilityChanges {
            add: names(add),
            drop: names(drop),
            add_ambient: names(ambient),
        },
        ..Security::default()
    };
    capabilities(&security).unwrap()
}

#[test]
fn changes_come_over_the_default_set() {
    let default = bits(Some(&DEFAULT.into_iter().collect()));
    let all = bits(Some(&ALL.into_iter().collect()));
    let with = |name: &str| {
        let mut names = default.clone();
        names.push(name.to_owned());
        names.sort();
        names
    };
    let without = |names: &[String], name: &str| {
        let kept = names.iter().filter(|other| *other != name);
        kept.cloned().collect::<Vec<_>>()
    };
    let check = |add: &[&str], drop: &[&str], expect: &[String]| {
        let sets = sets(add, drop, &[]);
        for set in [sets.bounding(), sets.effective(), sets.permitted()] {
            assert_eq!(bits(set.as_ref()), expect, "{add:?} {drop:?}");
        }
        for set in [sets.inheritable(), sets.ambient()] {
            assert_eq!(bits(set.as_ref()), [""; 0], "{add:?} {drop:?}");
        }
    };
    check(&[], &[], &default);
    check(&["NET_ADMIN"], &[], &with("NET_ADMIN"));
    check(&["cap_net_admin"], &[], &with("NET_ADMIN"));
    check(&["MKNOD"], &[], &with("MKNOD"));
    check(&[], &["Chown"], &without(&default, "CHOWN"));
    check(&["ALL"], &[], &all);
    check(&["all"], &["SYS_ADMIN"], &without(&all, "SYS_ADMIN"));
    check(&[], &["ALL"], &[]);
    check(&["KILL"], &["ALL"], &["KILL".to_owned()]);
    check(&["ALL"], &["all"], &[]);
    check(&["KILL"], &["KILL"], &without(&default, "KILL"));
}

#[test]
fn ambient_ones_are_in_every_set_unless_dropped() {
    let given = sets(&[], &["ALL"], &["NET_ADMIN"]);
    let all = [
        given.bounding(),
        given.effective(),
        given.permitted(),
        given.inheritable(),
        given.ambient(),
    ];
    for set in all {
        assert_eq!(bits(set.as_ref()), ["NET_ADMIN"]);
    }
    let dropped = sets(&[], &["ALL", "NET_ADMIN"], &["NET_ADMIN"]);
    assert_eq!(bits(dropped.ambient().as_ref()), [""; 0]);
    assert_eq!(bits(dropped.bounding().as_ref()), [""; 0]);
}

#[test]
fn privileged_has_all_whatever_is_dropped() {
    let security = Security {
        privileged: true,
        capabilities: CapabilityChanges {
            drop: vec!["ALL".into()],
            ..CapabilityChanges::default()
        },
        ..Security::default()
    };
    let sets = capabilities(&security).unwrap();
    assert_eq!(sets.effective().as_ref().unwrap().len(), 41);
    assert_eq!(bits(sets.ambient().as_ref()), [""; 0]);
}

#[test]
fn unknown_name_is_named() {
    let check = |changes: CapabilityChanges, expect: &str| {
        let security = Security {
            capabilities: changes,
            ..Security::default()
        };
        let error = capabilities(&security).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    let one = |name: &str| vec![name.to_owned()];
    let none = CapabilityChanges::default;
    check(
        CapabilityChanges {
            add: one("FLY"),
            ..none()
        },
        "\"FLY\"",
    );
    check(
        CapabilityChanges {
            drop: one(""),
            ..none()
        },
        "\"\"",
    );
    check(
        CapabilityChanges {
            add_ambient: one("CAP_X"),
            ..none()
        },
        "\"CAP_X\"",
    );
}
