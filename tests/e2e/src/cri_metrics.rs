//! What a pod uses, as kubelet's /metrics/cadvisor shows it, and what people without crictl see of a node.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ListMetricDescriptorsRequest, ListPodSandboxMetricsRequest, Metric, PodSandboxMetrics,
    StreamPodSandboxMetricsRequest,
};
use serde_json::Value;
use tonic::Response;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, all};
use crate::deadlines;
use crate::running::Ended;

pub(crate) const TESTS: &[Test] = &[
    ("metrics_are_of_what_runs", metrics),
    ("people_see_what_runs", people),
    ("daemon_that_is_not_there_is_said", no_daemon),
];

fn metrics(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let container = daemon.run(&sandbox, "main", "exec sleep 1000")?;
    let request = ListMetricDescriptorsRequest {};
    let described = daemon.call(async |mut client| client.list_metric_descriptors(request).await);
    let described: BTreeMap<String, Vec<String>> = described?
        .descriptors
        .into_iter()
        .map(|one| (one.name, one.label_keys))
        .collect();
    let request = ListPodSandboxMetricsRequest {};
    let listed = daemon.call(async |mut client| client.list_pod_sandbox_metrics(request).await);
    let mut pods = listed?.pod_metrics;
    let request = StreamPodSandboxMetricsRequest {};
    let streamed = daemon.call(async |mut client| {
        let stream = client.stream_pod_sandbox_metrics(request).await?;
        Ok(Response::new(
            all(stream, |piece| piece.pod_sandbox_metrics).await?,
        ))
    })?;
    let ids = |pods: &[PodSandboxMetrics]| -> Vec<String> {
        pods.iter().map(|pod| pod.pod_sandbox_id.clone()).collect()
    };
    ensure!(ids(&streamed) == ids(&pods), "{streamed:?}");
    let pod = pods.pop().context("the metrics of the pod")?;
    ensure!(pods.is_empty() && pod.pod_sandbox_id == sandbox, "{pod:?}");
    let of_container = pod.container_metrics.first().context("a container")?;
    ensure!(of_container.container_id == container, "{of_container:?}");
    for metric in pod.metrics.iter().chain(&of_container.metrics) {
        let keys = described.get(&metric.name);
        let keys = keys.with_context(|| format!("{} is not described", metric.name))?;
        ensure!(keys.len() == metric.label_values.len(), "{metric:?}");
    }
    let name = value(&of_container.metrics, "container_memory_working_set_bytes")?;
    ensure!((4096..256 << 20).contains(&name), "{name} bytes are used");
    ensure!(value(&of_container.metrics, "container_threads")? == 1);
    ensure!(value(&of_container.metrics, "container_start_time_seconds")? > 1_700_000_000);
    // It has booted.
    ensure!(value(&pod.metrics, "container_memory_usage_bytes")? > 1 << 20);
    ensure!(value(&pod.metrics, "container_processes")? == 1);
    let keys = &described["container_network_receive_packets_total"];
    let place = keys.iter().position(|key| key == "interface");
    let place = place.context("an interface")?;
    let eth0 = pod.metrics.iter().any(|metric| {
        metric
            .label_values
            .get(place)
            .is_some_and(|is| is == "eth0")
    });
    ensure!(eth0, "the pod's network is not counted: {:?}", pod.metrics);
    daemon.remove_sandbox(&sandbox)?;
    let request = ListPodSandboxMetricsRequest {};
    let listed = daemon.call(async |mut client| client.list_pod_sandbox_metrics(request).await);
    ensure!(
        listed?.pod_metrics.is_empty(),
        "a pod that is gone has metrics"
    );
    Ok(())
}

fn value(metrics: &[Metric], name: &str) -> Result<u64> {
    let metric = metrics.iter().find(|metric| metric.name == name);
    let value = metric.and_then(|metric| metric.value.as_ref());
    Ok(value
        .with_context(|| format!("{name} in {metrics:?}"))?
        .value)
}

fn people(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let container = daemon.run(&sandbox, "main", "exit 5")?;
    daemon.ended(&container)?;
    let told = |arguments: &[&str]| -> Result<String> {
        let ended = tell(case, arguments)?;
        ended.expect_code(0)?;
        Ok(ended.text())
    };
    let (pod_id, container_id) = (&sandbox[..12], &container[..12]);
    let pods = told(&["pods"])?;
    let row = pods.lines().find(|line| line.starts_with(pod_id));
    let row = row.with_context(|| format!("the pod in {pods}"))?;
    for word in ["web", "default", "Ready"] {
        ensure!(row.contains(word), "{word:?} in {row}");
    }
    // It has ended: only -a shows it.
    ensure!(!told(&["ps"])?.contains(container_id));
    let all = told(&["ps", "-a"])?;
    ensure!(
        all.contains(container_id) && all.contains("Exited"),
        "{all}"
    );
    let json: Value = serde_json::from_str(&told(&["ps", "-a", "--json"])?)?;
    ensure!(
        json[0]["id"] == container.as_str() && json[0]["pod"] == "web",
        "{json}"
    );
    let shown = told(&["inspect", container_id])?;
    ensure!(shown.contains("exit_code: 5"), "{shown}");
    let shown = told(&["inspect", "web"])?;
    ensure!(shown.contains("guest booted, agent answered"), "{shown}");
    ensure!(told(&["images"])? == told(&["image", "ls"])?);
    let none = tell(case, &["inspect", "no-such-thing"])?;
    none.expect_failure()?
        .expect_error_naming(&["no-such-thing", "cofferdam ps -a"])?;
    daemon.remove_sandbox(&sandbox)?;
    ensure!(!told(&["pods", "-a"])?.contains(pod_id));
    Ok(())
}

fn tell(case: &Case, arguments: &[&str]) -> Result<Ended> {
    case.finish(case.cofferdam(arguments)?, deadlines::COMMAND)
}

fn no_daemon(case: &Case) -> Result<()> {
    let ended = tell(case, &["pods"])?;
    ended
        .expect_failure()?
        .expect_error_naming(&["cri.sock", "cofferdam serve"])?;
    Ok(())
}
