//! The daemon as a whole: who it is, whether it is ready, how it begins and ends.

use cri::v1::{
    CgroupDriver, GetEventsRequest, ListMetricDescriptorsRequest, ListPodSandboxMetricsRequest,
    NetworkConfig, RuntimeConfig, RuntimeConfigRequest, StatusRequest,
    StreamPodSandboxMetricsRequest, UpdateRuntimeConfigRequest, VersionRequest,
};
use cri_server::{ServeError, SocketError, serve};

use crate::bench::Bench;

#[tokio::test]
async fn version_parses_and_is_v1() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let request = VersionRequest::default();
    let version = daemon.runtime.version(request).await.unwrap().into_inner();
    assert_eq!(version.runtime_name, "cofferdam");
    assert_eq!(version.runtime_version, "1.2.3");
    assert_eq!(version.runtime_api_version, "v1");
    assert_eq!(version.version, "0.1.0");
}

#[tokio::test]
async fn status_has_both_conditions_and_the_handlers() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let request = StatusRequest { verbose: false };
    let status = daemon.runtime.status(request).await.unwrap().into_inner();
    assert!(status.info.is_empty());
    let conditions = status.status.unwrap().conditions;
    let types: Vec<_> = conditions.iter().map(|one| one.r#type.as_str()).collect();
    assert_eq!(types, ["RuntimeReady", "NetworkReady"]);
    // The files are there, so it depends on this host's KVM.
    let kvm = std::fs::File::open("/dev/kvm").is_ok();
    assert_eq!(conditions[0].status, kvm, "{:?}", conditions[0]);
    assert!(!conditions[1].status);
    assert_eq!(conditions[1].reason, "NetworkPluginNotReady");
    let handlers: Vec<_> = status
        .runtime_handlers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(handlers, ["", "cofferdam", "host"]);
    assert!(status.features.unwrap().supplemental_groups_policy);
}

#[tokio::test]
async fn status_of_a_host_without_a_part_names_it() {
    let bench = Bench::new();
    let mut settings = bench.settings();
    settings.parts.monitor = bench.path("no-such-monitor");
    let mut daemon = Bench::serve_with(settings).await;
    let request = StatusRequest { verbose: true };
    let status = daemon.runtime.status(request).await.unwrap().into_inner();
    let ready = status.status.unwrap().conditions.remove(0);
    assert!(!ready.status);
    assert_eq!(ready.reason, "HostUnfit");
    let named = ready.message.contains("no-such-monitor") || ready.message.contains("/dev/kvm");
    assert!(named, "{}", ready.message);
    let config: serde_json::Value = serde_json::from_str(&status.info["config"]).unwrap();
    assert_eq!(
        config["parts"]["monitor"],
        bench.path("no-such-monitor").to_str().unwrap()
    );
}

#[tokio::test]
async fn runtime_config_says_the_cgroup_driver_and_takes_a_cidr() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let request = RuntimeConfigRequest {};
    let config = daemon.runtime.runtime_config(request).await.unwrap();
    let driver = config.into_inner().linux.unwrap().cgroup_driver();
    assert_eq!(driver, CgroupDriver::Systemd);
    for pod_cidr in ["", "10.1.0.0/24"] {
        let network_config = NetworkConfig {
            pod_cidr: pod_cidr.to_owned(),
        };
        let request = UpdateRuntimeConfigRequest {
            runtime_config: Some(RuntimeConfig {
                network_config: Some(network_config),
            }),
        };
        daemon.runtime.update_runtime_config(request).await.unwrap();
    }
}

#[tokio::test]
async fn second_daemon_at_one_socket_is_refused_and_the_first_serves_on() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let second = serve(bench.settings(), std::future::pending()).await;
    let error = second.unwrap_err();
    assert!(
        matches!(error, ServeError::Socket(SocketError::Live { .. })),
        "{error}"
    );
    daemon
        .runtime
        .version(VersionRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn daemon_that_ends_leaves_no_socket_and_another_begins() {
    let bench = Bench::new();
    for _ in 0..2 {
        let mut daemon = bench.serve().await;
        daemon
            .runtime
            .version(VersionRequest::default())
            .await
            .unwrap();
        daemon.end().await;
        assert!(!bench.settings().socket.exists());
    }
}

#[tokio::test]
async fn metrics_are_described_and_a_node_without_pods_has_none() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let request = ListMetricDescriptorsRequest {};
    let described = daemon.runtime.list_metric_descriptors(request).await;
    let described = described.unwrap().into_inner().descriptors;
    let named = |name: &str| described.iter().any(|one| one.name == name);
    assert!(named("container_cpu_usage_seconds_total"), "{described:?}");
    assert!(described.iter().all(|one| !one.help.is_empty()));
    let request = ListPodSandboxMetricsRequest {};
    let listed = daemon.runtime.list_pod_sandbox_metrics(request).await;
    assert!(listed.unwrap().into_inner().pod_metrics.is_empty());
    let request = StreamPodSandboxMetricsRequest {};
    let streamed = daemon.runtime.stream_pod_sandbox_metrics(request).await;
    let first = streamed.unwrap().into_inner().message().await.unwrap();
    assert_eq!(first, None);
}

#[tokio::test]
async fn stream_of_events_ends_with_the_daemon() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let events = daemon.runtime.get_container_events(GetEventsRequest {});
    let mut events = events.await.unwrap().into_inner();
    let (last, ()) = tokio::join!(events.message(), daemon.end());
    assert_eq!(last.unwrap(), None, "it ends, and is not cut off");
}
