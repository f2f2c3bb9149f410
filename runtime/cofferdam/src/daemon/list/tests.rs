//! The tables with values.

use std::time::{Duration, UNIX_EPOCH};

use cri::v1::{ContainerMetadata, ImageSpec, PodSandboxMetadata};

use super::*;

fn pod(id: &str, name: &str, state: PodSandboxState) -> PodSandbox {
    PodSandbox {
        id: id.to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            namespace: "shop".to_owned(),
            ..PodSandboxMetadata::default()
        }),
        state: state.into(),
        created_at: 1_000_000_000,
        ..PodSandbox::default()
    }
}

#[test]
fn pods_and_containers_are_rows_that_name_each_other() {
    let now = UNIX_EPOCH + Duration::from_secs(1 + 240);
    let pods = [
        pod("abcdefghijklmnop", "web", PodSandboxState::SandboxReady),
        pod("qrstuvwxyz012345", "db", PodSandboxState::SandboxNotready),
    ];
    let table = pod_table(&pods, 12, now);
    assert_eq!(table[1], ["abcdefghijkl", "web", "shop", "Ready", "4m"]);
    assert_eq!(table[2], ["qrstuvwxyz01", "db", "shop", "NotReady", "4m"]);
    let container = Container {
        id: "c1".to_owned(),
        pod_sandbox_id: "abcdefghijklmnop".to_owned(),
        metadata: Some(ContainerMetadata {
            name: "main".to_owned(),
            attempt: 0,
        }),
        image: Some(ImageSpec {
            image: "sha256:1".to_owned(),
            user_specified_image: "busybox".to_owned(),
            ..ImageSpec::default()
        }),
        state: ContainerState::ContainerExited.into(),
        created_at: 181_000_000_000,
        ..Container::default()
    };
    let table = container_table(&[container], &pods, 12, now);
    let expect = ["c1", "main", "web", "shop", "busybox", "Exited", "60s"];
    assert_eq!(table[1], expect);
}
