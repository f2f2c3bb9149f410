//! Who is asked for, in CRI's and in docker's words.

use super::*;

fn cri(name: &str, uid: Option<u32>, gid: Option<u32>) -> User {
    User {
        of_image: "www-data:www".into(),
        name: name.into(),
        uid,
        gid,
        groups: GroupsOfImage::Merge,
        ..User::default()
    }
}

#[test]
fn first_that_is_said_wins() {
    let check = |wanted: User, expect: Option<&str>| {
        let oci = user(&wanted).unwrap();
        assert_eq!(oci.username().as_deref(), expect, "{wanted:?}");
        assert_eq!((oci.uid(), oci.gid()), (0, 0));
    };
    check(User::default(), None);
    check(User::of_image("app:7"), Some("app:7"));
    check(cri("", None, None), Some("www-data:www"));
    check(cri("", Some(1000), None), Some("1000"));
    check(cri("", Some(0), None), Some("0"));
    check(cri("", Some(1000), Some(50)), Some("1000:50"));
    check(cri("nginx", None, Some(50)), Some("nginx:50"));
    check(cri("nginx", Some(7), None), Some("nginx"));
    // The agent has to look for root's groups in the image.
    let groups = GroupsOfImage::Merge;
    check(
        User {
            groups,
            ..User::default()
        },
        Some("0"),
    );
    let groups = GroupsOfImage::Strict;
    check(
        User {
            groups,
            ..User::default()
        },
        None,
    );
}

#[test]
fn groups_and_their_rule_travel() {
    let check = |groups, expect: Option<&str>| {
        let wanted = User {
            groups,
            supplemental_groups: vec![5, 6],
            ..User::default()
        };
        assert_eq!(user(&wanted).unwrap().additional_gids(), &Some(vec![5, 6]));
        let annotation = annotation(&wanted);
        assert_eq!(annotation.as_ref().map(|(_, value)| value.as_str()), expect);
    };
    check(GroupsOfImage::UnlessGroupNamed, None);
    check(GroupsOfImage::Merge, Some("merge"));
    check(GroupsOfImage::Strict, Some("strict"));
}

#[test]
fn group_alone_and_a_name_with_a_group_are_refused() {
    let check = |wanted: User, expect: &str| {
        let error = user(&wanted).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(cri("", None, Some(50)), "run_as_group 50 needs run_as_user");
    check(cri("app:0", None, None), "run_as_username \"app:0\"");
}
