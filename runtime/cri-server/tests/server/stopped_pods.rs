//! Pods that a daemon before this one left, and that have stopped: their records are enough for every question about them.

use cri::v1::*;
use tonic::Code;

use crate::bench::{Bench, Daemon, SOON, check, sandbox};

const WEB: &str = "aa11aa11aa11aa11aa11aa11aa11aa11";
const DB: &str = "aa22aa22aa22aa22aa22aa22aa22aa22";
const MAIN: &str = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";
const SIDE: &str = "c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2";

/// Two pods, the first with two containers.
fn recorded() -> Bench {
    let bench = Bench::new();
    bench.record_pod(WEB, &sandbox("web"));
    bench.record_container(WEB, MAIN, "main", 0);
    bench.record_container(WEB, SIDE, "side", 3);
    bench.record_pod(DB, &sandbox("db"));
    bench
}

async fn sandboxes(daemon: &mut Daemon, filter: Option<PodSandboxFilter>) -> Vec<String> {
    let request = ListPodSandboxRequest { filter };
    let listed = daemon.runtime.list_pod_sandbox(request).await.unwrap();
    let items = listed.into_inner().items;
    items.into_iter().map(|sandbox| sandbox.id).collect()
}

async fn containers(daemon: &mut Daemon, filter: Option<ContainerFilter>) -> Vec<String> {
    let request = ListContainersRequest { filter };
    let listed = daemon.runtime.list_containers(request).await.unwrap();
    let containers = listed.into_inner().containers;
    containers
        .into_iter()
        .map(|container| container.id)
        .collect()
}

async fn remove_container(daemon: &mut Daemon, id: &str) {
    let request = RemoveContainerRequest {
        container_id: id.to_owned(),
    };
    daemon.runtime.remove_container(request).await.unwrap();
}

async fn remove_sandbox(daemon: &mut Daemon, id: &str) {
    let request = RemovePodSandboxRequest {
        pod_sandbox_id: id.to_owned(),
    };
    daemon.runtime.remove_pod_sandbox(request).await.unwrap();
}

#[tokio::test]
async fn lists_have_them_and_filters_hold() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    assert_eq!(sandboxes(&mut daemon, None).await, [WEB, DB]);
    let of = |id: &str, label: &str| PodSandboxFilter {
        id: id.to_owned(),
        label_selector: [("app".to_owned(), label.to_owned())].into(),
        state: Some(PodSandboxStateValue {
            state: PodSandboxState::SandboxNotready.into(),
        }),
    };
    assert_eq!(sandboxes(&mut daemon, Some(of("", "db"))).await, [DB]);
    assert_eq!(sandboxes(&mut daemon, Some(of("aa11", "web"))).await, [WEB]);
    assert!(
        sandboxes(&mut daemon, Some(of("aa11", "db")))
            .await
            .is_empty()
    );
    assert_eq!(containers(&mut daemon, None).await, [MAIN, SIDE]);
    let of_pod = ContainerFilter {
        pod_sandbox_id: DB.to_owned(),
        ..ContainerFilter::default()
    };
    assert!(containers(&mut daemon, Some(of_pod)).await.is_empty());
    let request = StreamContainersRequest::default();
    let mut stream = daemon
        .runtime
        .stream_containers(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().containers.len(), 2);
    assert_eq!(stream.message().await.unwrap(), None);
    let request = StreamPodSandboxesRequest::default();
    let mut stream = daemon
        .runtime
        .stream_pod_sandboxes(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        stream.message().await.unwrap().unwrap().pod_sandboxes.len(),
        2
    );
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test]
async fn status_is_answered_as_it_was_asked_for() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: WEB.to_owned(),
        verbose: true,
    };
    let answer = daemon
        .runtime
        .pod_sandbox_status(request)
        .await
        .unwrap()
        .into_inner();
    let status = answer.status.unwrap();
    assert_eq!(status.state(), PodSandboxState::SandboxNotready);
    assert_eq!(status.metadata, sandbox("web").metadata);
    assert_eq!(status.annotations, sandbox("web").annotations);
    assert_eq!(status.runtime_handler, "cofferdam");
    assert!(status.created_at > 0);
    let network = status.network.unwrap();
    assert_eq!(network.ip, "10.1.2.3");
    assert_eq!(network.additional_ips[0].ip, "fd00::3");
    assert_eq!(answer.containers_statuses.len(), 2);
    assert!(answer.timestamp > 0);
    assert!(answer.info["info"].contains("stopped"));
    let request = ContainerStatusRequest {
        container_id: SIDE.to_owned(),
        verbose: true,
    };
    let answer = daemon
        .runtime
        .container_status(request)
        .await
        .unwrap()
        .into_inner();
    let status = answer.status.unwrap();
    assert_eq!(status.state(), ContainerState::ContainerExited);
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.finished_at > status.started_at);
    assert_eq!(status.image.unwrap().user_specified_image, "busybox");
    assert_eq!(status.log_path, "/var/log/pods/web/main/0.log");
    assert!(answer.info["info"].contains(WEB));
}

#[tokio::test]
async fn starts_of_ids_are_found_when_they_say_which() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let status = |id: &str| PodSandboxStatusRequest {
        pod_sandbox_id: id.to_owned(),
        verbose: false,
    };
    let answer = daemon
        .runtime
        .pod_sandbox_status(status("aa1"))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().status.unwrap().id, WEB);
    let both = daemon.runtime.pod_sandbox_status(status("aa")).await;
    check(both, Code::InvalidArgument, "2 ids");
    let none = daemon.runtime.pod_sandbox_status(status("ab")).await;
    check(none, Code::NotFound, "ab");
    let request = ContainerStatusRequest {
        container_id: "c2".to_owned(),
        verbose: false,
    };
    let answer = daemon.runtime.container_status(request).await.unwrap();
    assert_eq!(answer.into_inner().status.unwrap().id, SIDE);
}

#[tokio::test]
async fn name_is_taken_until_its_sandbox_is_removed() {
    let bench = recorded();
    let mut settings = bench.settings();
    settings.guest.kernel = bench.path("no-such-kernel");
    let mut daemon = Bench::serve_with(settings).await;
    let request = || RunPodSandboxRequest {
        config: Some(sandbox("web")),
        runtime_handler: String::new(),
    };
    let taken = daemon.runtime.run_pod_sandbox(request()).await;
    check(taken, Code::AlreadyExists, WEB);
    let mut other = request();
    other
        .config
        .as_mut()
        .unwrap()
        .metadata
        .as_mut()
        .unwrap()
        .attempt = 1;
    let free = daemon.runtime.run_pod_sandbox(other).await;
    check(free, Code::FailedPrecondition, "no-such-kernel");
    remove_sandbox(&mut daemon, WEB).await;
    let free = daemon.runtime.run_pod_sandbox(request()).await;
    check(free, Code::FailedPrecondition, "no-such-kernel");
}

#[tokio::test]
async fn what_needs_a_running_pod_is_refused() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    let create = CreateContainerRequest {
        pod_sandbox_id: WEB.to_owned(),
        config: Some(ContainerConfig::default()),
        sandbox_config: None,
    };
    check(
        runtime.create_container(create).await,
        Code::FailedPrecondition,
        "not ready",
    );
    let start = StartContainerRequest {
        container_id: MAIN.to_owned(),
    };
    check(
        runtime.start_container(start).await,
        Code::FailedPrecondition,
        "does not run",
    );
    let exec = ExecSyncRequest {
        container_id: MAIN.to_owned(),
        cmd: vec!["true".to_owned()],
        timeout: 0,
    };
    check(
        runtime.exec_sync(exec).await,
        Code::FailedPrecondition,
        "does not run",
    );
    let reopen = ReopenContainerLogRequest {
        container_id: MAIN.to_owned(),
    };
    check(
        runtime.reopen_container_log(reopen).await,
        Code::FailedPrecondition,
        "does not run",
    );
}

#[tokio::test]
async fn ends_are_good_any_number_of_times_and_last() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    for _ in 0..2 {
        let stop = StopContainerRequest {
            container_id: MAIN.to_owned(),
            timeout: 2,
        };
        daemon.runtime.stop_container(stop).await.unwrap();
        let stop = StopPodSandboxRequest {
            pod_sandbox_id: WEB.to_owned(),
        };
        daemon.runtime.stop_pod_sandbox(stop).await.unwrap();
    }
    assert_eq!(
        sandboxes(&mut daemon, None).await,
        [WEB, DB],
        "listed until they are removed"
    );
    for _ in 0..2 {
        remove_container(&mut daemon, MAIN).await;
        assert_eq!(containers(&mut daemon, None).await, [SIDE]);
    }
    daemon.end().await;
    let mut daemon = bench.serve().await;
    assert_eq!(
        containers(&mut daemon, None).await,
        [SIDE],
        "also after a restart"
    );
    for _ in 0..2 {
        remove_sandbox(&mut daemon, WEB).await;
        assert_eq!(sandboxes(&mut daemon, None).await, [DB]);
        assert!(containers(&mut daemon, None).await.is_empty());
    }
    assert!(!bench.path("records").join(WEB).exists());
}

#[tokio::test]
async fn removal_is_told_to_those_who_listen_sandbox_last() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let events = daemon
        .runtime
        .get_container_events(GetEventsRequest {})
        .await;
    let mut events = events.unwrap().into_inner();
    remove_container(&mut daemon, MAIN).await;
    remove_sandbox(&mut daemon, WEB).await;
    let mut told = Vec::new();
    let mut last_ns = 0;
    for _ in 0..3 {
        let event = tokio::time::timeout(SOON, events.message()).await.unwrap();
        let event = event.unwrap().unwrap();
        assert_eq!(
            event.container_event_type(),
            ContainerEventType::ContainerDeletedEvent
        );
        assert_eq!(event.pod_sandbox_status.unwrap().id, WEB);
        assert!(event.created_at >= last_ns);
        last_ns = event.created_at;
        told.push(event.container_id);
    }
    assert_eq!(told, [MAIN, SIDE, WEB]);
}

#[tokio::test]
async fn damaged_note_does_not_hinder_the_others() {
    let bench = recorded();
    let file = bench.path("records").join(DB).join("pod.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"handler\"", "\"nonsense\"")).unwrap();
    let mut daemon = bench.serve().await;
    assert_eq!(sandboxes(&mut daemon, None).await, [WEB]);
}

#[tokio::test]
async fn limits_of_what_does_not_run_can_not_be_changed() {
    let mut daemon = recorded().serve().await;
    let update = |cpu_shares| UpdateContainerResourcesRequest {
        container_id: MAIN.to_owned(),
        linux: Some(LinuxContainerResources {
            cpu_shares,
            ..LinuxContainerResources::default()
        }),
        ..UpdateContainerResourcesRequest::default()
    };
    let ended = daemon.runtime.update_container_resources(update(512)).await;
    check(ended, Code::FailedPrecondition, "it does not run");
    let negative = daemon.runtime.update_container_resources(update(-1)).await;
    check(negative, Code::InvalidArgument, "cpu_shares can't be -1");
    let windows = UpdateContainerResourcesRequest {
        container_id: MAIN.to_owned(),
        windows: Some(WindowsContainerResources::default()),
        ..UpdateContainerResourcesRequest::default()
    };
    let windows = daemon.runtime.update_container_resources(windows).await;
    check(windows, Code::InvalidArgument, "Windows");
}

#[tokio::test]
async fn what_does_not_run_uses_nothing_and_is_in_no_list() {
    let mut daemon = recorded().serve().await;
    let runtime = &mut daemon.runtime;
    let stats = ContainerStatsRequest {
        container_id: MAIN.to_owned(),
    };
    let stats = runtime.container_stats(stats).await;
    check(stats, Code::FailedPrecondition, WEB);
    let stats = PodSandboxStatsRequest {
        pod_sandbox_id: WEB.to_owned(),
    };
    let stats = runtime.pod_sandbox_stats(stats).await;
    check(stats, Code::FailedPrecondition, WEB);
    let request = ListContainerStatsRequest::default();
    let listed = runtime.list_container_stats(request).await.unwrap();
    assert_eq!(listed.into_inner().stats, []);
    let request = ListPodSandboxStatsRequest::default();
    let listed = runtime.list_pod_sandbox_stats(request).await.unwrap();
    assert_eq!(listed.into_inner().stats, []);
    let request = StreamContainerStatsRequest::default();
    let streamed = runtime.stream_container_stats(request).await.unwrap();
    assert_eq!(streamed.into_inner().message().await.unwrap(), None);
    let request = StreamPodSandboxStatsRequest::default();
    let streamed = runtime.stream_pod_sandbox_stats(request).await.unwrap();
    assert_eq!(streamed.into_inner().message().await.unwrap(), None);
}

#[tokio::test]
async fn resize_of_a_pod_is_taken_and_of_none_is_refused() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let request = |id: &str| UpdatePodSandboxResourcesRequest {
        pod_sandbox_id: id.to_owned(),
        resources: Some(LinuxContainerResources {
            memory_limit_in_bytes: 4 << 30,
            ..Default::default()
        }),
        overhead: None,
    };
    let taken = daemon.runtime.update_pod_sandbox_resources(request(WEB));
    taken.await.unwrap();
    let refused = daemon.runtime.update_pod_sandbox_resources(request("ff"));
    check(refused.await, Code::NotFound, "there is no sandbox \"ff\"");
}
