//! Tests of what two statuses of a pod say has happened.

use pod::{Exit, ExitCause, Note};
use serde_json::json;

use super::*;

fn container(id: &str, phase: &ContainerPhase) -> (ContainerId, Arc<Container>) {
    let container: Container = serde_json::from_value(json!({
        "id": id,
        "note": null,
        "spec": {
            "args": ["sh"], "env": [], "cwd": "/", "user": {}, "stdin": false, "terminal": null,
            "limits": {"memory_bytes": null, "pids": null},
            "read_only_root": false, "no_new_privileges": false,
        },
        "created_at_ns": 100,
        "phase": phase,
        "log": null,
        "writable_bytes": 0,
        "disk": null,
    }))
    .unwrap();
    (id.parse().unwrap(), Arc::new(container))
}

fn status(phase: PodPhase, containers: &[(&str, ContainerPhase)]) -> PodStatus {
    let containers = containers.iter().map(|(id, phase)| container(id, phase));
    PodStatus {
        id: "pod".parse().unwrap(),
        note: Arc::new(Note::Null),
        created_at_ns: 100,
        phase,
        containers: containers.collect(),
        stages: Vec::new(),
        monitor_pid: None,
        cgroup: None,
        launch: None,
    }
}

fn running() -> ContainerPhase {
    ContainerPhase::Running { started_at_ns: 200 }
}

fn exited(started_at_ns: Option<i64>) -> ContainerPhase {
    ContainerPhase::Exited(Exit {
        started_at_ns,
        finished_at_ns: 300,
        cause: ExitCause::NotStarted {
            message: String::new(),
        },
    })
}

fn check(
    before: &[(&str, ContainerPhase)],
    now: &[(&str, ContainerPhase)],
    expect: &[(&str, Kind)],
) {
    let changes = changes(
        &status(PodPhase::Running, before),
        &status(PodPhase::Running, now),
    );
    let told: Vec<(&str, Kind)> = changes
        .iter()
        .map(|change| (change.container.as_ref().unwrap().as_str(), change.kind))
        .collect();
    assert_eq!(told, expect);
}

#[test]
fn containers_events_are_those_of_their_phases() {
    use Kind::{
        ContainerCreatedEvent as Created, ContainerDeletedEvent as Deleted,
        ContainerStartedEvent as Started, ContainerStoppedEvent as Stopped,
    };
    let created = || ContainerPhase::Created;
    check(&[], &[], &[]);
    check(&[], &[("a", created())], &[("a", Created)]);
    check(&[("a", created())], &[("a", ContainerPhase::Starting)], &[]);
    check(
        &[("a", ContainerPhase::Starting)],
        &[("a", running())],
        &[("a", Started)],
    );
    check(
        &[("a", running())],
        &[("a", exited(Some(200)))],
        &[("a", Stopped)],
    );
    check(&[("a", exited(None))], &[], &[("a", Deleted)]);
    // One that never ran does not start.
    check(
        &[("a", created())],
        &[("a", exited(None))],
        &[("a", Stopped)],
    );
    // A status that nobody saw is made up for.
    let all = [("a", Created), ("a", Started), ("a", Stopped)];
    check(&[], &[("a", exited(Some(200)))], &all);
    check(
        &[("a", running()), ("b", running())],
        &[("b", exited(Some(200)))],
        &[("b", Stopped), ("a", Deleted)],
    );
}

#[test]
fn sandbox_stops_once_and_after_its_containers() {
    let before = status(PodPhase::Stopping, &[("a", running())]);
    let stopped = || PodPhase::Stopped { cause: None };
    let now = status(stopped(), &[("a", exited(Some(200)))]);
    let kinds: Vec<_> = changes(&before, &now)
        .into_iter()
        .map(|change| change.container.map(|id| id.to_string()))
        .collect();
    assert_eq!(kinds, [Some("a".to_owned()), None]);
    assert_eq!(changes(&now, &now), []);
}

#[tokio::test]
async fn times_of_events_do_not_fall() {
    let events = Events::new();
    let mut listener = events.listen();
    *events.last_ns.lock().unwrap() = i64::MAX;
    events.tell(ContainerEventResponse::default());
    assert_eq!(listener.recv().await.unwrap().created_at, i64::MAX);
}
