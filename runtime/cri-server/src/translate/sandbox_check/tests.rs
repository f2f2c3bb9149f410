//! Tests of what is refused, with values.

use cri::v1::{IdMapping, Int64Value, LinuxPodSandboxConfig, UserNamespace};

use super::*;

fn good() -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "web".to_owned(),
            uid: "u".to_owned(),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        log_directory: "/var/log/pods/web".to_owned(),
        ..PodSandboxConfig::default()
    }
}

fn with_security(security: LinuxSandboxSecurityContext) -> PodSandboxConfig {
    PodSandboxConfig {
        linux: Some(LinuxPodSandboxConfig {
            security_context: Some(security),
            ..LinuxPodSandboxConfig::default()
        }),
        ..good()
    }
}

fn with_namespaces(options: NamespaceOption) -> PodSandboxConfig {
    with_security(LinuxSandboxSecurityContext {
        namespace_options: Some(options),
        ..LinuxSandboxSecurityContext::default()
    })
}

fn with_user_namespace(mode: Mode, mapped: bool) -> PodSandboxConfig {
    let mapping = IdMapping {
        host_id: 65536,
        container_id: 0,
        length: 65536,
    };
    let mappings = if mapped { vec![mapping] } else { Vec::new() };
    with_namespaces(NamespaceOption {
        userns_options: Some(UserNamespace {
            mode: mode.into(),
            uids: mappings.clone(),
            gids: mappings,
        }),
        ..NamespaceOption::default()
    })
}

fn check_invalid(config: &PodSandboxConfig, words: &str) {
    let refusal = check_sandbox(config).unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    assert!(refusal.to_string().contains(words), "{refusal}");
}

fn check_unimplemented(config: &PodSandboxConfig, words: &str) {
    let refusal = check_sandbox(config).unwrap_err();
    assert!(matches!(refusal, Refusal::Unimplemented(_)), "{refusal:?}");
    assert!(refusal.to_string().contains(words), "{refusal}");
}

#[test]
fn sandbox_as_kubelet_asks_for_it_is_good() {
    check_sandbox(&good()).unwrap();
    // kubelet's usual: network and ipc of the pod, processes of each container.
    check_sandbox(&with_namespaces(NamespaceOption {
        pid: Mode::Container.into(),
        ..NamespaceOption::default()
    }))
    .unwrap();
    check_sandbox(&with_user_namespace(Mode::Node, false)).unwrap();
    check_sandbox(&with_user_namespace(Mode::Pod, true)).unwrap();
}

#[test]
fn sandbox_without_a_whole_name_is_invalid() {
    check_invalid(&PodSandboxConfig::default(), "no metadata");
    for field in ["name", "namespace", "uid"] {
        let mut config = good();
        let metadata = config.metadata.as_mut().unwrap();
        match field {
            "name" => metadata.name.clear(),
            "uid" => metadata.uid.clear(),
            _ => metadata.namespace.clear(),
        }
        check_invalid(&config, field);
    }
}

#[test]
fn sandbox_with_an_selinux_level_that_is_none_is_invalid() {
    let labelled = |level: &str| {
        let mut config = with_namespaces(NamespaceOption::default());
        let linux = config.linux.as_mut().unwrap();
        let security = linux.security_context.as_mut().unwrap();
        security.selinux_options = Some(cri::v1::SeLinuxOption {
            level: level.to_owned(),
            ..Default::default()
        });
        config
    };
    check_sandbox(&labelled("s0:c1,c2")).unwrap();
    check_invalid(&labelled("secret"), "\"secret\"");
}

#[test]
fn sandbox_in_the_nodes_namespaces_is_good() {
    let node = i32::from(Mode::Node);
    let of = |network, pid, ipc| {
        with_namespaces(NamespaceOption {
            network,
            pid,
            ipc,
            ..NamespaceOption::default()
        })
    };
    // Whether this node has such pods is `pod_kind`'s to say.
    for config in [of(node, 0, 0), of(0, node, 0), of(0, 0, node)] {
        check_sandbox(&config).unwrap();
    }
}

#[test]
fn sandbox_with_a_mode_that_makes_no_sense_is_invalid() {
    let container = i32::from(Mode::Container);
    check_invalid(
        &with_namespaces(NamespaceOption {
            network: container,
            ..NamespaceOption::default()
        }),
        "the network namespace mode is POD or NODE, not CONTAINER",
    );
    check_invalid(
        &with_namespaces(NamespaceOption {
            pid: Mode::Target.into(),
            ..NamespaceOption::default()
        }),
        "TARGET",
    );
}

#[test]
fn user_namespaces_that_can_not_be_are_refused() {
    check_invalid(&with_user_namespace(Mode::Container, true), "not CONTAINER");
    check_invalid(&with_user_namespace(Mode::Node, true), "no id mappings");
    let mut privileged = with_user_namespace(Mode::Pod, true);
    let linux = privileged.linux.as_mut().unwrap();
    linux.security_context.as_mut().unwrap().privileged = true;
    check_unimplemented(&privileged, "hostUsers");
}

#[test]
fn sandbox_with_a_group_and_no_user_is_invalid() {
    let security = LinuxSandboxSecurityContext {
        run_as_group: Some(Int64Value { value: 5 }),
        ..LinuxSandboxSecurityContext::default()
    };
    check_invalid(&with_security(security), "run_as_user");
}

#[test]
fn sandbox_that_is_too_large_or_logs_nowhere_is_invalid() {
    let mut config = good();
    config.log_directory = "var/log".to_owned();
    check_invalid(&config, "not absolute");
    let mut config = good();
    let large = "x".repeat(limits::MOST_CONFIG_BYTES);
    config.annotations.insert("large".to_owned(), large);
    check_invalid(&config, "at most");
}
