//! Names and numbers as docker and CRI read them.

use super::*;

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:2000::/:/bin/sh\n# no:x:5:5::/:\nbroken\n";
const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\nteam:x:20:other,app\nlike:x:30:apple\n";

#[test]
fn user_and_group_are_found_by_name_or_number() {
    let check = |wanted: &str, uid: u32, gid: u32, additional_gids: &[u32]| {
        let expect = Account {
            uid,
            gid,
            additional_gids: additional_gids.to_vec(),
        };
        assert_eq!(look_up(wanted, PASSWD, GROUP).unwrap(), expect, "{wanted}");
    };
    check("root", 0, 0, &[10]);
    check("app", 1000, 2000, &[10, 20]);
    check("1000", 1000, 2000, &[10, 20]);
    check("app:wheel", 1000, 10, &[]);
    check("app:77", 1000, 77, &[]);
    check("4711", 4711, 0, &[]);
    check("4711:team", 4711, 20, &[]);
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
