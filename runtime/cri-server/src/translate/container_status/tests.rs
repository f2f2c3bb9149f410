//! Tests of a container's status with values. `pod`'s container is made from a record, as a restart makes it.

use cri::v1::{
    ContainerConfig, ContainerMetadata, LinuxContainerConfig, LinuxContainerResources, Mount,
};
use serde_json::json;

use super::*;
use crate::note::ImageNames;

fn created() -> Created {
    Created {
        config: ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                attempt: 4,
            }),
            image: Some(ImageSpec {
                image: "sha256:1".to_owned(),
                user_specified_image: "busybox".to_owned(),
                ..ImageSpec::default()
            }),
            annotations: [("note".to_owned(), " as it is\n".to_owned())].into(),
            mounts: vec![Mount {
                container_path: "/dev/termination-log".to_owned(),
                host_path: "/var/lib/kubelet/pods/u/containers/main/0".to_owned(),
                ..Mount::default()
            }],
            log_path: "main/4.log".to_owned(),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    memory_limit_in_bytes: 32 << 20,
                    ..LinuxContainerResources::default()
                }),
                security_context: None,
            }),
            ..ContainerConfig::default()
        },
        image: ImageNames {
            id: "sha256:1".to_owned(),
            name: "docker.io/library/busybox:latest".to_owned(),
            reference: "docker.io/library/busybox@sha256:2".to_owned(),
        },
        stop_signal: 2,
    }
}

fn recorded(phase: &ContainerPhase) -> pod::Container {
    serde_json::from_value(json!({
        "id": "c1",
        "note": null,
        "spec": {
            "args": ["sh"], "env": [], "cwd": "/", "user": {}, "stdin": false, "terminal": null,
            "limits": {"memory_bytes": 32 << 20, "pids": null},
            "read_only_root": false, "no_new_privileges": false,
        },
        "created_at_ns": 100,
        "phase": phase,
        "log": "/var/log/pods/web/main/4.log",
        "writable_bytes": 0,
        "disk": null,
    }))
    .unwrap()
}

fn exited(started_at_ns: Option<i64>, cause: ExitCause) -> ContainerPhase {
    ContainerPhase::Exited(Exit {
        started_at_ns,
        finished_at_ns: 300,
        cause,
    })
}

#[test]
fn status_echoes_what_was_asked_for() {
    let phase = ContainerPhase::Running { started_at_ns: 200 };
    insta::assert_debug_snapshot!(container_status(&created(), &recorded(&phase)));
}

#[test]
fn ends_have_the_code_and_reason_that_kubelet_knows() {
    let check = |phase: ContainerPhase, code: i32, reason: &str, message: &str| {
        let status = container_status(&created(), &recorded(&phase));
        assert_eq!(status.state(), ContainerState::ContainerExited);
        assert_eq!(status.exit_code, code);
        assert_eq!(status.reason, reason);
        assert_eq!(status.message, message);
        assert_eq!(status.finished_at, 300);
    };
    let ran = |status| exited(Some(200), ExitCause::Ended(status));
    check(ran(ExitStatus::Exited(0)), 0, "Completed", "");
    check(ran(ExitStatus::Exited(3)), 3, "Error", "");
    check(ran(ExitStatus::Signaled(9)), 137, "Error", "");
    check(
        ran(ExitStatus::OutOfMemory { code: 137 }),
        137,
        "OOMKilled",
        "",
    );
    let message = || "why".to_owned();
    let not_started = ExitCause::NotStarted { message: message() };
    check(exited(None, not_started), 128, "StartError", "why");
    let lost = ExitCause::Lost { message: message() };
    check(
        exited(Some(200), lost),
        255,
        "ContainerStatusUnknown",
        "why",
    );
}

#[test]
fn codes_and_times_are_there_only_when_it_has_come_to_that() {
    let check = |phase: ContainerPhase, state: ContainerState, started: i64, finished: i64| {
        let recorded = recorded(&phase);
        let status = container_status(&created(), &recorded);
        assert_eq!(status.state(), state);
        assert_eq!((status.started_at, status.finished_at), (started, finished));
        assert_eq!((status.exit_code, status.reason.as_str()), (0, ""));
        let pod = "ab12".parse().unwrap();
        let listed = container(&pod, &recorded.id, &created(), &recorded);
        assert_eq!(listed.state(), state);
    };
    check(
        ContainerPhase::Created,
        ContainerState::ContainerCreated,
        0,
        0,
    );
    check(
        ContainerPhase::Starting,
        ContainerState::ContainerCreated,
        0,
        0,
    );
    let running = ContainerPhase::Running { started_at_ns: 200 };
    check(running, ContainerState::ContainerRunning, 200, 0);
}

#[test]
fn list_has_the_ids_of_image_and_sandbox() {
    let recorded = recorded(&ContainerPhase::Created);
    let listed = container(
        &"ab12".parse().unwrap(),
        &recorded.id,
        &created(),
        &recorded,
    );
    assert_eq!(listed.pod_sandbox_id, "ab12");
    assert_eq!(listed.image_id, "sha256:1");
    assert_eq!(listed.image_ref, "docker.io/library/busybox@sha256:2");
    let spec = listed.image.unwrap();
    assert_eq!(spec.image, "docker.io/library/busybox:latest");
    assert_eq!(spec.user_specified_image, "busybox");
}

#[test]
fn user_is_shown_as_the_guest_has_told_it() {
    let mut container = recorded(&ContainerPhase::Created);
    container.user = Some(model::Identity {
        uid: 1000,
        gid: 1000,
        groups: vec![1000, 50000],
    });
    let shown = container_status(&created(), &container).user;
    let expect = LinuxContainerUser {
        uid: 1000,
        gid: 1000,
        supplemental_groups: vec![1000, 50000],
    };
    assert_eq!(shown.and_then(|user| user.linux), Some(expect));
}

#[test]
fn user_is_shown_where_the_image_has_no_say() {
    let user = |user: serde_json::Value| {
        let mut container = recorded(&ContainerPhase::Created);
        container.spec.user = serde_json::from_value(user).unwrap();
        container_status(&created(), &container).user
    };
    let known = json!({"uid": 7, "gid": 8, "supplemental_groups": [9], "groups": "strict"});
    let expect = LinuxContainerUser {
        uid: 7,
        gid: 8,
        supplemental_groups: vec![9],
    };
    assert_eq!(
        user(known),
        Some(ContainerUser {
            linux: Some(expect)
        })
    );
    for unknown in [
        json!({"uid": 7, "gid": 8, "groups": "merge"}),
        json!({"uid": 7, "groups": "strict"}),
        json!({"name": "app", "gid": 8, "groups": "strict"}),
    ] {
        assert_eq!(user(unknown), None);
    }
}
