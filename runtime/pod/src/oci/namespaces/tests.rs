//! What is the container's is listed, what is the pod's is not.

use super::*;

const OWN: NamespaceOf = NamespaceOf::Container;
const POD: NamespaceOf = NamespaceOf::Pod;

fn range(container: u32, guest: u32, length: u32) -> IdRange {
    IdRange {
        container,
        guest,
        length,
    }
}

#[test]
fn namespaces_of_the_container_are_listed() {
    let user = Some(UserNamespace {
        uids: range(0, 1000, 10),
        gids: range(0, 1000, 10),
    });
    let check = |[pid, ipc, uts, cgroup]: [NamespaceOf; 4], user, expect: &str| {
        let wanted = Namespaces {
            pid,
            pid_target: None,
            ipc,
            uts,
            cgroup,
            user,
        };
        let names: Vec<_> = namespaces(&wanted)
            .unwrap()
            .iter()
            .map(|namespace| namespace.typ().to_string())
            .collect();
        assert_eq!(names.join(" "), expect);
    };
    check([OWN, OWN, OWN, OWN], None, "pid ipc uts mnt cgroup");
    check([POD, OWN, OWN, OWN], None, "ipc uts mnt cgroup");
    check([OWN, POD, POD, OWN], None, "pid mnt cgroup");
    check([POD, POD, POD, POD], user, "mnt user");
}

#[test]
fn range_that_cannot_be_mapped_is_refused() {
    let good = range(0, 1000, 65536);
    let check = |uids, gids, expect: &str| {
        let error = mappings(&UserNamespace { uids, gids }).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(
        range(0, 1, 0),
        good,
        "uids 0+0 can't be mapped: the range is empty",
    );
    check(
        good,
        range(5, 1, 9),
        "gids 5+9 can't be mapped: it has to begin with 0",
    );
    check(range(0, u32::MAX, 1), good, "beyond the largest id");
    let last = range(0, u32::MAX - 1, 1);
    let (uid, gid) = mappings(&UserNamespace {
        uids: last,
        gids: good,
    })
    .unwrap();
    assert_eq!(
        (uid.container_id(), uid.host_id(), uid.size()),
        (0, u32::MAX - 1, 1)
    );
    assert_eq!(
        (gid.container_id(), gid.host_id(), gid.size()),
        (0, 1000, 65536)
    );
}
