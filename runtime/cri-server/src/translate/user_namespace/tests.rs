//! What can be a pod's user namespace, and what differs from it.

use cri::v1::LinuxSandboxSecurityContext;

use super::*;

fn mapping(container_id: u32, host_id: u32, length: u32) -> IdMapping {
    IdMapping {
        host_id,
        container_id,
        length,
    }
}

fn good() -> Vec<IdMapping> {
    vec![mapping(0, 65536, 65536)]
}

fn asked(mode: Mode, uids: Vec<IdMapping>, gids: Vec<IdMapping>) -> NamespaceOption {
    NamespaceOption {
        userns_options: Some(Asked {
            mode: mode.into(),
            uids,
            gids,
        }),
        ..NamespaceOption::default()
    }
}

fn linux(options: NamespaceOption, privileged: bool) -> LinuxPodSandboxConfig {
    LinuxPodSandboxConfig {
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(options),
            privileged,
            ..LinuxSandboxSecurityContext::default()
        }),
        ..LinuxPodSandboxConfig::default()
    }
}

fn of(options: NamespaceOption) -> Result<Option<UserNamespace>, Refusal> {
    user_namespace(Some(&linux(options, false)))
}

fn expected() -> UserNamespace {
    let range = IdRange {
        container: 0,
        guest: 65536,
        length: 65536,
    };
    UserNamespace {
        uids: range,
        gids: range,
    }
}

fn check_invalid<T: std::fmt::Debug>(result: Result<T, Refusal>, words: &str) {
    let refusal = result.unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    assert!(refusal.to_string().contains(words), "{refusal}");
}

#[test]
fn one_range_of_each_is_a_user_namespace() {
    assert_eq!(user_namespace(None), Ok(None));
    assert_eq!(of(NamespaceOption::default()), Ok(None));
    assert_eq!(of(asked(Mode::Node, vec![], vec![])), Ok(None));
    assert_eq!(of(asked(Mode::Pod, good(), good())), Ok(Some(expected())));
    // Not as Kubernetes does it, and right all the same.
    let other = of(asked(Mode::Pod, good(), vec![mapping(0, 7, 8)]));
    assert_eq!(other.unwrap().unwrap().gids.guest, 7);
}

#[test]
fn other_modes_and_mappings_are_refused_by_name() {
    let pod = |uids, gids| of(asked(Mode::Pod, uids, gids));
    check_invalid(of(asked(Mode::Container, good(), good())), "not CONTAINER");
    check_invalid(of(asked(Mode::Target, good(), good())), "not TARGET");
    let node = of(asked(Mode::Node, good(), vec![]));
    check_invalid(node, "no id mappings");
    check_invalid(pod(vec![], vec![]), "exactly one id mapping in uids, not 0");
    check_invalid(pod(good(), vec![]), "exactly one id mapping in gids, not 0");
    let two = vec![mapping(0, 1, 1), mapping(1, 2, 1)];
    check_invalid(pod(two, good()), "exactly one id mapping in uids, not 2");
    check_invalid(pod(vec![mapping(0, 1, 0)], good()), "the range is empty");
    check_invalid(pod(good(), vec![mapping(1, 1, 1)]), "begin with 0");
    check_invalid(pod(vec![mapping(0, u32::MAX, 1)], good()), "largest id");
}

#[test]
fn privileged_pod_has_none() {
    let privileged = linux(asked(Mode::Pod, good(), good()), true);
    let refusal = user_namespace(Some(&privileged)).unwrap_err();
    assert!(matches!(refusal, Refusal::Unimplemented(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("hostUsers"), "{refusal}");
    let plain = linux(asked(Mode::Node, vec![], vec![]), true);
    assert_eq!(user_namespace(Some(&plain)), Ok(None));
}

#[test]
fn containers_say_the_same_as_their_sandbox_or_nothing() {
    let user = expected();
    let same = asked(Mode::Pod, good(), good());
    let node = asked(Mode::Node, vec![], vec![]);
    for (container, sandbox) in [
        (None, None),
        (None, Some(&user)),
        (Some(NamespaceOption::default()), Some(&user)),
        (Some(same.clone()), Some(&user)),
        (Some(node.clone()), None),
    ] {
        assert_eq!(check_same(container.as_ref(), sandbox), Ok(()));
    }
    let other = asked(Mode::Pod, good(), vec![mapping(0, 65536, 9)]);
    let words =
        "gids 0 to 65536, 9 of them, and its sandbox was run with uids 0 to 65536, 65536 of them";
    check_invalid(check_same(Some(&other), Some(&user)), words);
    check_invalid(check_same(Some(&node), Some(&user)), "ask for none");
    check_invalid(check_same(Some(&same), None), "run with none");
    let bad = asked(Mode::Target, vec![], vec![]);
    check_invalid(check_same(Some(&bad), Some(&user)), "not TARGET");
}

#[test]
fn mounts_are_mapped_as_the_pod_is_or_not_at_all() {
    let user = expected();
    let mount = |uids: &[IdMapping], gids: &[IdMapping]| Mount {
        container_path: "/v".to_owned(),
        uid_mappings: uids.to_vec(),
        gid_mappings: gids.to_vec(),
        ..Mount::default()
    };
    let good = good();
    assert_eq!(maps_owners(&mount(&[], &[]), None), Ok(false));
    assert_eq!(maps_owners(&mount(&[], &[]), Some(&user)), Ok(false));
    assert_eq!(maps_owners(&mount(&good, &good), Some(&user)), Ok(true));
    let check = |mount: Mount, user: Option<&UserNamespace>, words: &str| {
        check_invalid(maps_owners(&mount, user), words);
    };
    check(mount(&good, &good), None, "\"/v\"");
    check(mount(&good, &[]), Some(&user), "gid_mappings, not 0");
    let other = [mapping(0, 1, 1)];
    check(
        mount(&good, &other),
        Some(&user),
        "not those of its sandbox",
    );
}

#[test]
fn pod_on_the_node_has_no_user_namespace() {
    let user = linux(asked(Mode::Pod, good(), good()), false);
    let refusal = check_users_of(PodKind::Host, Some(&user)).unwrap_err();
    assert!(matches!(refusal, Refusal::Unimplemented(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("hostUsers"), "{refusal}");
    check_users_of(PodKind::Vm, Some(&user)).unwrap();
    let nodes = linux(asked(Mode::Node, Vec::new(), Vec::new()), false);
    check_users_of(PodKind::Host, Some(&nodes)).unwrap();
    check_users_of(PodKind::Host, None).unwrap();
}
