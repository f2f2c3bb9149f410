//! Every combination of what has a say, and that nothing else has.

use std::collections::BTreeMap;

use cri::v1::{LinuxSandboxSecurityContext, UserNamespace};

use super::*;

const MODES: [Mode; 4] = [Mode::Pod, Mode::Container, Mode::Node, Mode::Target];

fn linux(options: NamespaceOption) -> LinuxPodSandboxConfig {
    LinuxPodSandboxConfig {
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(options),
            ..LinuxSandboxSecurityContext::default()
        }),
        ..LinuxPodSandboxConfig::default()
    }
}

fn modes() -> impl Iterator<Item = [Mode; 3]> {
    MODES.into_iter().flat_map(|network| {
        MODES
            .into_iter()
            .flat_map(move |pid| MODES.into_iter().map(move |ipc| [network, pid, ipc]))
    })
}

fn options_of([network, pid, ipc]: [Mode; 3]) -> NamespaceOption {
    NamespaceOption {
        network: network.into(),
        pid: pid.into(),
        ipc: ipc.into(),
        ..NamespaceOption::default()
    }
}

/// The rule, said in another way: on the node if and only if it asks for one of the node's namespaces or its handler is for that, and then only if the node
/// is to have such pods.
fn check(linux: Option<&LinuxPodSandboxConfig>, asks: bool) {
    for handler in [HandlerKind::Vm, HandlerKind::Host] {
        let host = asks || handler == HandlerKind::Host;
        let expect = if host { PodKind::Host } else { PodKind::Vm };
        assert_eq!(pod_kind(linux, handler, true), Ok(expect));
        match pod_kind(linux, handler, false) {
            Ok(kind) => assert_eq!((kind, host), (PodKind::Vm, false)),
            Err(refusal) => {
                assert!(host, "{refusal}");
                assert!(refusal.to_string().contains("host_pods.enabled"));
            }
        }
    }
}

#[test]
fn pod_is_on_the_node_only_by_its_namespaces_or_its_handler() {
    check(None, false);
    check(Some(&LinuxPodSandboxConfig::default()), false);
    for modes in modes() {
        let linux = linux(options_of(modes));
        check(Some(&linux), modes.contains(&Mode::Node));
    }
}

#[test]
fn nothing_else_of_a_sandbox_leads_to_the_node() {
    let words = |text: &str| BTreeMap::from([(text.to_owned(), "host".to_owned())]);
    let mut linux = linux(NamespaceOption {
        target_id: "host".to_owned(),
        userns_options: Some(UserNamespace {
            mode: Mode::Node.into(),
            ..UserNamespace::default()
        }),
        ..NamespaceOption::default()
    });
    linux.cgroup_parent = "/".to_owned();
    linux.sysctls = words("kernel.hostname").into_iter().collect();
    if let Some(security) = &mut linux.security_context {
        security.privileged = true;
    }
    check(Some(&linux), false);
}

#[test]
fn refusal_names_what_the_pod_asks_for() {
    let check = |modes: [Mode; 3], words: &str| {
        let linux = linux(options_of(modes));
        let refusal = pod_kind(Some(&linux), HandlerKind::Vm, false).unwrap_err();
        assert!(matches!(refusal, Refusal::Unfit(_)));
        assert!(refusal.to_string().contains(words), "{refusal}");
    };
    check([Mode::Node, Mode::Pod, Mode::Pod], "hostNetwork");
    check([Mode::Pod, Mode::Node, Mode::Pod], "hostPID");
    check([Mode::Pod, Mode::Pod, Mode::Node], "hostIPC");
}

#[test]
fn pod_has_of_its_own_what_it_does_not_share_with_the_node() {
    let check = |modes: [Mode; 3], network, ipc| {
        let linux = linux(options_of(modes));
        let own = OwnNamespaces::of(Some(&linux));
        assert_eq!(own, OwnNamespaces { network, ipc });
    };
    check([Mode::Pod, Mode::Node, Mode::Pod], true, true);
    check([Mode::Node, Mode::Pod, Mode::Pod], false, true);
    check([Mode::Pod, Mode::Pod, Mode::Node], true, false);
    let both = OwnNamespaces {
        network: true,
        ipc: true,
    };
    assert_eq!(OwnNamespaces::of(None), both);
}
