//! Names and numbers as docker and CRI read them.

use super::*;

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:2000::/:/bin/sh\n# no:x:5:5::/:\nbroken\n";
const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\nteam:x:20:other,app\nlike:x:30:apple\n";

#[test]
fn user_and_group_are_found_by_name_or_number() {
    let check = |wanted: &str, uid: u32, gid: u32, groups: &[u32]| {
        let account = look_up(wanted, PASSWD, GROUP).unwrap();
        assert_eq!((account.uid, account.gid), (uid, gid), "{wanted}");
        let all = all_groups(&account, &[], Groups::UnlessNamed);
        assert_eq!(all, groups, "{wanted}");
    };
    check("root", 0, 0, &[10]);
    check("app", 1000, 2000, &[10, 20]);
    check("1000", 1000, 2000, &[10, 20]);
    check("app:wheel", 1000, 10, &[]);
    check("app:77", 1000, 77, &[]);
    check("4711", 4711, 0, &[]);
    check("4711:team", 4711, 20, &[]);
}

/// An image may call its root "1000", and kubelet has checked the number.
#[test]
fn number_is_never_a_name_of_the_image() {
    let passwd = "1000:x:0:0::/:/bin/sh\n";
    let group = "50:x:0:\n";
    let account = look_up("1000:50", passwd, group).unwrap();
    assert_eq!((account.uid, account.gid), (1000, 50));
    let account = look_up("1000", passwd, group).unwrap();
    assert_eq!((account.uid, account.gid), (1000, 0));
}

#[test]
fn groups_follow_the_rule() {
    let check = |wanted: &str, rule: Groups, given: &[u32], expect: &[u32]| {
        let account = look_up(wanted, PASSWD, GROUP).unwrap();
        assert_eq!(
            all_groups(&account, given, rule),
            expect,
            "{wanted} {rule:?}"
        );
    };
    check("app", Groups::Merge, &[5], &[2000, 10, 20, 5]);
    check("app", Groups::Strict, &[5], &[2000, 5]);
    check("app", Groups::UnlessNamed, &[5], &[10, 20, 5]);
    check("app:77", Groups::Merge, &[5], &[77, 10, 20, 5]);
    check("app:77", Groups::Strict, &[], &[77]);
    check("app:77", Groups::UnlessNamed, &[5], &[5]);
    check("1000", Groups::Merge, &[10, 2000], &[2000, 10, 20]);
    check("4711", Groups::Merge, &[5], &[0, 5]);
}

#[test]
fn unknown_name_is_refused_by_name() {
    let check = |wanted: &str, expect: &str| {
        let failure = look_up(wanted, PASSWD, GROUP).unwrap_err();
        assert!(failure.message.contains(expect), "{}", failure.message);
    };
    check(
        "nobody",
        "no user \"nobody\" in the container's /etc/passwd",
    );
    check("no", "no user");
    check(
        "app:crew",
        "no group \"crew\" in the container's /etc/group",
    );
    check("-1", "no user");
    check("4294967296", "no user");
}
