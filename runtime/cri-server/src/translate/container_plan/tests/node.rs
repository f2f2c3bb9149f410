//! Containers of pods on the node, and that no other is more of the node than its sandbox.

use cri::v1::{SecurityProfile, security_profile::ProfileType};

use super::*;

/// Every pair of modes, for each namespace: a container is where its sandbox is, whatever kind of pod it is of.
#[test]
fn container_shares_with_the_node_what_its_sandbox_shares() {
    let all = [
        NamespaceMode::Pod,
        NamespaceMode::Container,
        NamespaceMode::Node,
    ];
    let options: [fn(NamespaceMode) -> NamespaceOption; 3] = [
        |mode| NamespaceOption {
            network: mode.into(),
            ..NamespaceOption::default()
        },
        |mode| NamespaceOption {
            pid: mode.into(),
            ..NamespaceOption::default()
        },
        |mode| NamespaceOption {
            ipc: mode.into(),
            ..NamespaceOption::default()
        },
    ];
    let pairs = all.map(|pod| all.map(|container| (pod, container)));
    for (options, (pod, container)) in options.iter().flat_map(|options| {
        pairs
            .as_flattened()
            .iter()
            .map(move |pair| (options, *pair))
    }) {
        let config = secured(LinuxContainerSecurityContext {
            namespace_options: Some(options(container)),
            ..LinuxContainerSecurityContext::default()
        });
        let sandbox = sandbox_with(LinuxSandboxSecurityContext {
            namespace_options: Some(options(pod)),
            ..LinuxSandboxSecurityContext::default()
        });
        let node = |mode| mode == NamespaceMode::Node;
        for kind in [PodKind::Vm, PodKind::Host] {
            let refused = plan_of(&config, &sandbox, kind).err();
            let differs =
                refused.is_some_and(|refusal| refusal.to_string().contains("either both are NODE"));
            assert_eq!(
                differs,
                node(pod) != node(container),
                "{pod:?} {container:?}"
            );
        }
    }
}

#[test]
fn container_on_the_node_has_the_nodes_processes_where_it_says_so() {
    let options = NamespaceOption {
        pid: NamespaceMode::Node.into(),
        ..NamespaceOption::default()
    };
    let config = |privileged| {
        secured(LinuxContainerSecurityContext {
            namespace_options: Some(options.clone()),
            privileged,
            ..LinuxContainerSecurityContext::default()
        })
    };
    let sandbox = sandbox_with(LinuxSandboxSecurityContext {
        namespace_options: Some(options.clone()),
        privileged: true,
        ..LinuxSandboxSecurityContext::default()
    });
    let plan = |privileged| plan_of(&config(privileged), &sandbox, PodKind::Host).unwrap();
    let spec = plan(false).spec;
    assert_eq!(spec.namespaces.pid, NamespaceOf::Node);
    assert_eq!(spec.namespaces.cgroup, NamespaceOf::Container);
    assert!(spec.security.filters_devices);
    assert_eq!(plan(true).spec.namespaces.cgroup, NamespaceOf::Node);
}

#[test]
fn apparmor_profile_is_the_newer_fields_where_there_is_one() {
    let profile = |kind: ProfileType, name: &str| {
        Some(SecurityProfile {
            profile_type: kind.into(),
            localhost_ref: name.to_owned(),
        })
    };
    let sandbox = sandbox_with(LinuxSandboxSecurityContext::default());
    let check = |newer: Option<SecurityProfile>, older: &str, expect: Option<&str>| {
        #[expect(deprecated, reason = "clients still send the older field")]
        let config = secured(LinuxContainerSecurityContext {
            apparmor: newer,
            apparmor_profile: older.to_owned(),
            ..LinuxContainerSecurityContext::default()
        });
        assert_eq!(apparmor_profile(&config), expect);
        for kind in [PodKind::Vm, PodKind::Host] {
            let planned = plan_of(&config, &sandbox, kind).unwrap();
            let profile = planned.spec.security.apparmor_profile;
            assert_eq!(profile.as_deref(), expect, "{kind:?}");
        }
    };
    let local = ProfileType::Localhost;
    check(profile(local, "mine"), "", Some("mine"));
    check(profile(local, "localhost/mine"), "", Some("mine"));
    check(profile(local, "mine"), "localhost/other", Some("mine"));
    check(None, "localhost/other", Some("other"));
    // None of ours, but Kubernetes'.
    check(None, "runtime/default", None);
    check(None, "", None);
    for kind in [ProfileType::RuntimeDefault, ProfileType::Unconfined] {
        check(profile(kind, ""), "localhost/other", None);
    }
    #[expect(deprecated, reason = "clients still send the older field")]
    let nonsense = secured(LinuxContainerSecurityContext {
        apparmor_profile: "other".to_owned(),
        ..LinuxContainerSecurityContext::default()
    });
    let refusal = plan_of(&nonsense, &sandbox, PodKind::Vm).unwrap_err();
    assert!(
        refusal.to_string().contains("\"other\" is none of"),
        "{refusal}"
    );
}

#[test]
fn devices_are_filtered_where_a_folder_of_the_node_is_mounted() {
    let check = |mounts: Vec<Mount>, expect: bool| {
        let config = ContainerConfig { mounts, ..asked() };
        let security = plan(&config).unwrap().spec.security;
        assert_eq!(security.filters_devices, expect, "{:?}", config.mounts);
    };
    let mount = Mount {
        container_path: "/v".to_owned(),
        ..Mount::default()
    };
    let image = Mount {
        image: Some(cri::v1::ImageSpec {
            image: "library/tools".to_owned(),
            ..cri::v1::ImageSpec::default()
        }),
        readonly: true,
        ..mount.clone()
    };
    let host = Mount {
        host_path: "/srv/v".to_owned(),
        ..mount
    };
    check(Vec::new(), false);
    check(vec![image.clone()], false);
    check(vec![image, host], true);
}
