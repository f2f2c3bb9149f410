//! What is shown, and in which form.

use cri::v1::{ContainerMetadata, PodSandboxMetadata, PodSandboxNetworkStatus, PodSandboxState};

use super::*;

#[test]
fn pod_shows_how_long_its_start_took_and_what_runs_in_it() {
    let status = PodSandboxStatus {
        id: "ab12".to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: "web".to_owned(),
            uid: "u".to_owned(),
            namespace: "shop".to_owned(),
            attempt: 1,
        }),
        state: PodSandboxState::SandboxReady.into(),
        created_at: 1_500_000_000_250_000_000,
        network: Some(PodSandboxNetworkStatus {
            ip: "10.0.0.5".to_owned(),
            additional_ips: Vec::new(),
        }),
        annotations: [("note".to_owned(), "two\nlines\u{1b}[2J".to_owned())].into(),
        ..PodSandboxStatus::default()
    };
    let container = Container {
        id: "c1".to_owned(),
        metadata: Some(ContainerMetadata {
            name: "main".to_owned(),
            attempt: 0,
        }),
        state: ContainerState::ContainerRunning.into(),
        ..Container::default()
    };
    let info = json!({
        "cause": null,
        "pid": 7,
        "start": [{"name": "launched", "us": 1500}, {"name": "booted", "us": 60_000}],
    });
    let document = pod(&status, &info, &[&container]);
    let expect = "\
kind: pod
id: ab12
name: web
namespace: shop
uid: u
attempt: 1
state: Ready
created_at: 2017-07-14T02:40:00.250Z
ips:
  10.0.0.5
pid: 7
start:
        1.5 ms  launched
       60.0 ms  booted
       61.5 ms  in all
containers:
  c1  main  Running
annotations:
  note: two\\nlines\\u{1b}[2J";
    assert_eq!(document.text(), expect);
    let json = document.json();
    assert_eq!(json["start"][2]["ms"], 61.5);
    assert_eq!(json["annotations"]["note"], "two\nlines\u{1b}[2J");
}

#[test]
fn exit_code_is_shown_when_there_is_one() {
    let with = |state: ContainerState| {
        let status = ContainerStatus {
            id: "c1".to_owned(),
            state: state.into(),
            ..ContainerStatus::default()
        };
        container(&status, "ab12", None).json()
    };
    assert_eq!(with(ContainerState::ContainerExited)["exit_code"], 0);
    assert!(
        with(ContainerState::ContainerRunning)
            .get("exit_code")
            .is_none()
    );
}
