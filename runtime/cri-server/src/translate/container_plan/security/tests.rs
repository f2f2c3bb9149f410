//! What a container may do, with values.

use cri::v1::{Capability, LinuxContainerConfig, SecurityProfile};

use super::*;

fn config(security: LinuxContainerSecurityContext) -> ContainerConfig {
    ContainerConfig {
        linux: Some(LinuxContainerConfig {
            security_context: Some(security),
            ..LinuxContainerConfig::default()
        }),
        ..ContainerConfig::default()
    }
}

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn without_a_context_all_but_seccomp_is_the_runtimes() {
    let nothing = ContainerConfig::default();
    let expect = Security {
        seccomp: Seccomp::Unconfined,
        ..Security::default()
    };
    assert_eq!(
        security(&nothing, None, PodKind::Vm, Devices::default()),
        Ok(expect)
    );
    assert_eq!(seccomp_file(&nothing), Ok(None));
}

#[test]
fn context_is_passed_on_as_it_is() {
    let asked = LinuxContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: paths(&["NET_ADMIN"]),
            drop_capabilities: paths(&["ALL"]),
            add_ambient_capabilities: paths(&["CAP_CHOWN"]),
        }),
        masked_paths: paths(&["/bin/ls"]),
        ..LinuxContainerSecurityContext::default()
    };
    let expect = Security {
        seccomp: Seccomp::Unconfined,
        capabilities: CapabilityChanges {
            add: paths(&["NET_ADMIN"]),
            drop: paths(&["ALL"]),
            add_ambient: paths(&["CAP_CHOWN"]),
        },
        masked_paths: Some(paths(&["/bin/ls"])),
        // An empty list is none, not the runtime's.
        read_only_paths: Some(Vec::new()),
        ..Security::default()
    };
    assert_eq!(
        security(&config(asked), None, PodKind::Vm, Devices::default()),
        Ok(expect)
    );
}

#[test]
fn seccomp_is_the_one_that_is_named() {
    let new = |kind: ProfileType, path: &str| LinuxContainerSecurityContext {
        seccomp: Some(SecurityProfile {
            profile_type: kind.into(),
            localhost_ref: path.to_owned(),
        }),
        ..LinuxContainerSecurityContext::default()
    };
    #[expect(deprecated, reason = "clients still send the older field")]
    let old = |path: &str| LinuxContainerSecurityContext {
        seccomp_profile_path: path.to_owned(),
        ..LinuxContainerSecurityContext::default()
    };
    let check = |asked: LinuxContainerSecurityContext, expect: Seccomp, file: Option<&str>| {
        let config = config(asked);
        assert_eq!(seccomp_file(&config), Ok(file.map(PathBuf::from)));
        let text = file.map(|_path| "{}".to_owned());
        assert_eq!(
            security(&config, text, PodKind::Vm, Devices::default())
                .unwrap()
                .seccomp,
            expect
        );
    };
    let read = || Seccomp::Localhost("{}".to_owned());
    check(old(""), Seccomp::Unconfined, None);
    check(old("runtime/default"), Seccomp::RuntimeDefault, None);
    check(old("unconfined"), Seccomp::Unconfined, None);
    check(old("localhost//a.json"), read(), Some("/a.json"));
    check(
        new(ProfileType::RuntimeDefault, ""),
        Seccomp::RuntimeDefault,
        None,
    );
    check(new(ProfileType::Unconfined, ""), Seccomp::Unconfined, None);
    check(
        new(ProfileType::Localhost, "/a.json"),
        read(),
        Some("/a.json"),
    );
    // A privileged container has no filter, so its file is not asked for.
    let privileged = LinuxContainerSecurityContext {
        privileged: true,
        ..new(ProfileType::Localhost, "/a.json")
    };
    check(privileged, Seccomp::RuntimeDefault, None);
}

#[test]
fn profiles_that_can_not_be_found_are_invalid() {
    let check = |path: &str| {
        #[expect(deprecated, reason = "clients still send the older field")]
        let asked = LinuxContainerSecurityContext {
            seccomp_profile_path: path.to_owned(),
            ..LinuxContainerSecurityContext::default()
        };
        let refusal = seccomp_file(&config(asked)).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    };
    check("localhost/relative.json");
    check("other");
}
