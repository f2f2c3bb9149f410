//! Tests of a sandbox's status with values.

use std::{collections::BTreeMap, sync::Arc};

use cri::v1::{
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, PodSandboxConfig,
    PodSandboxMetadata,
};
use pod::Note;

use super::*;
use crate::translate::PodKind;

fn asked() -> Sandbox {
    let options = NamespaceOption {
        pid: NamespaceMode::Container.into(),
        ..NamespaceOption::default()
    };
    Sandbox {
        config: PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: "web".to_owned(),
                uid: "u".to_owned(),
                namespace: "default".to_owned(),
                attempt: 3,
            }),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            annotations: [("note".to_owned(), " as it is\n".to_owned())].into(),
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(options),
                    ..LinuxSandboxSecurityContext::default()
                }),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        },
        handler: "cofferdam".to_owned(),
        ips: ["10.0.0.5", "fd00::5"].map(|ip| ip.parse().unwrap()).into(),
        kind: PodKind::Vm,
        huge_pages: Vec::new(),
    }
}

fn status(phase: PodPhase) -> PodStatus {
    PodStatus {
        id: "ab12".parse().unwrap(),
        note: Arc::new(Note::Null),
        created_at_ns: 1_795_341_600_000_000_000,
        phase,
        containers: BTreeMap::new(),
        stages: Vec::new(),
        monitor_pid: None,
        cgroup: None,
        launch: None,
    }
}

#[test]
fn status_echoes_what_was_asked_for() {
    insta::assert_debug_snapshot!(sandbox_status(&asked(), &status(PodPhase::Running)));
}

#[test]
fn sandbox_is_ready_only_while_it_runs() {
    let check = |phase: PodPhase, expect: PodSandboxState| {
        let status = status(phase);
        assert_eq!(sandbox(&asked(), &status).state(), expect);
        let told = sandbox_status(&asked(), &status);
        assert_eq!(told.state(), expect);
        assert_eq!(
            told.network.unwrap().ip,
            "10.0.0.5",
            "also when it has stopped"
        );
    };
    check(PodPhase::Running, PodSandboxState::SandboxReady);
    check(PodPhase::Stopping, PodSandboxState::SandboxNotready);
    let cause = Some("its VM ended".to_owned());
    check(
        PodPhase::Stopped { cause },
        PodSandboxState::SandboxNotready,
    );
}

#[test]
fn sandbox_without_a_network_has_no_address() {
    let sandbox = Sandbox {
        ips: Vec::new(),
        ..asked()
    };
    assert_eq!(
        sandbox_status(&sandbox, &status(PodPhase::Running)).network,
        None
    );
}

#[test]
fn sandbox_that_asked_for_no_namespaces_has_the_default_ones() {
    let mut sandbox = asked();
    sandbox.config.linux = None;
    let told = sandbox_status(&sandbox, &status(PodPhase::Running));
    let options = told.linux.unwrap().namespaces.unwrap().options;
    assert_eq!(options, Some(NamespaceOption::default()));
}
