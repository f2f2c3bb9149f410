//! `cofferdam pods` and `cofferdam ps`: tables, newest first. The rows are made by pure functions.

use std::{cmp::Reverse, collections::BTreeMap, time::SystemTime};

use cri::v1::{
    Container, ContainerState, ListContainersRequest, ListPodSandboxRequest, PodSandbox,
    PodSandboxState,
};
use serde::Serialize;

use super::{Daemon, said, show};
use crate::{args::ListArguments, output};

/// A pod as `--json` shows it.
#[derive(Debug, Serialize)]
struct PodRow {
    id: String,
    name: String,
    namespace: String,
    uid: String,
    attempt: u32,
    state: &'static str,
    created_at: Option<String>,
    runtime_handler: String,
    labels: BTreeMap<String, String>,
}

/// A container as `--json` shows it.
#[derive(Debug, Serialize)]
struct ContainerRow {
    id: String,
    name: String,
    attempt: u32,
    pod_id: String,
    pod: String,
    namespace: String,
    image: String,
    state: &'static str,
    created_at: Option<String>,
    labels: BTreeMap<String, String>,
}

pub(super) async fn pods(daemon: &mut Daemon, arguments: &ListArguments) -> anyhow::Result<()> {
    let mut pods = all_pods(daemon).await?;
    let lengths = show::id_length(pods.iter().map(|pod| pod.id.as_str()));
    pods.retain(|pod| arguments.all || pod.state() == PodSandboxState::SandboxReady);
    pods.sort_by_key(|pod| Reverse(pod.created_at));
    if arguments.output.json {
        return output::json(&pods.into_iter().map(PodRow::from).collect::<Vec<_>>());
    }
    output::table(&pod_table(&pods, lengths, SystemTime::now()))?;
    Ok(())
}

pub(super) async fn containers(
    daemon: &mut Daemon,
    arguments: &ListArguments,
) -> anyhow::Result<()> {
    let pods = all_pods(daemon).await?;
    let mut containers = all_containers(daemon).await?;
    let length = show::id_length(containers.iter().map(|container| container.id.as_str()));
    containers
        .retain(|container| arguments.all || container.state() == ContainerState::ContainerRunning);
    containers.sort_by_key(|container| Reverse(container.created_at));
    if arguments.output.json {
        let rows = containers
            .into_iter()
            .map(|container| container_row(container, &pods));
        return output::json(&rows.collect::<Vec<_>>());
    }
    let table = container_table(&containers, &pods, length, SystemTime::now());
    output::table(&table)?;
    Ok(())
}

pub(super) async fn all_pods(daemon: &mut Daemon) -> anyhow::Result<Vec<PodSandbox>> {
    let request = ListPodSandboxRequest::default();
    let listed = daemon.runtime.list_pod_sandbox(request).await;
    Ok(listed.map_err(said("list the pods"))?.into_inner().items)
}

pub(super) async fn all_containers(daemon: &mut Daemon) -> anyhow::Result<Vec<Container>> {
    let request = ListContainersRequest::default();
    let listed = daemon.runtime.list_containers(request).await;
    let listed = listed.map_err(said("list the containers"))?;
    Ok(listed.into_inner().containers)
}

fn pod_table(pods: &[PodSandbox], length: usize, now: SystemTime) -> Vec<[String; 5]> {
    let mut rows = vec![["POD ID", "NAME", "NAMESPACE", "STATE", "AGE"].map(str::to_owned)];
    rows.extend(pods.iter().map(|pod| {
        let metadata = pod.metadata.clone().unwrap_or_default();
        [
            show::short(&pod.id, length),
            metadata.name,
            metadata.namespace,
            show::sandbox_state(pod.state()).to_owned(),
            show::age(pod.created_at, now),
        ]
    }));
    rows
}

fn container_table(
    containers: &[Container],
    pods: &[PodSandbox],
    length: usize,
    now: SystemTime,
) -> Vec<[String; 7]> {
    let head = [
        "CONTAINER ID",
        "NAME",
        "POD",
        "NAMESPACE",
        "IMAGE",
        "STATE",
        "AGE",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(containers.iter().map(|container| {
        let row = container_row(container.clone(), pods);
        [
            show::short(&row.id, length),
            row.name,
            row.pod,
            row.namespace,
            row.image,
            row.state.to_owned(),
            show::age(container.created_at, now),
        ]
    }));
    rows
}

impl From<PodSandbox> for PodRow {
    fn from(pod: PodSandbox) -> Self {
        let state = show::sandbox_state(pod.state());
        let metadata = pod.metadata.unwrap_or_default();
        Self {
            id: pod.id,
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            attempt: metadata.attempt,
            state,
            created_at: show::moment(pod.created_at),
            runtime_handler: pod.runtime_handler,
            labels: pod.labels,
        }
    }
}

fn container_row(container: Container, pods: &[PodSandbox]) -> ContainerRow {
    let state = show::container_state(container.state());
    let metadata = container.metadata.unwrap_or_default();
    let image = container.image.unwrap_or_default();
    let name = if image.user_specified_image.is_empty() {
        image.image
    } else {
        image.user_specified_image
    };
    // One whose pod went between the two lists has an empty name there.
    let pod = pods.iter().find(|pod| pod.id == container.pod_sandbox_id);
    let pod = pod.and_then(|pod| pod.metadata.clone()).unwrap_or_default();
    ContainerRow {
        id: container.id,
        name: metadata.name,
        attempt: metadata.attempt,
        pod_id: container.pod_sandbox_id,
        pod: pod.name,
        namespace: pod.namespace,
        image: name,
        state,
        created_at: show::moment(container.created_at),
        labels: container.labels,
    }
}

#[cfg(test)]
mod tests;
