//! What GetContainerEvents tells of a pod's life.

use anyhow::{Context, Result, ensure};
use cri::v1::ContainerEventType as Kind;
use cri::v1::{
    ContainerConfig, ContainerEventResponse, ContainerState, CreateContainerRequest,
    GetEventsRequest, PodSandboxConfig, RemoveContainerRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};

use crate::Test;
use crate::case::Case;
use crate::daemon::{Client, Daemon};

pub(crate) const TESTS: &[Test] = &[("life_of_a_pod_is_told_in_order", life)];

/// Of the sandbox and its one container together.
const EVENTS: usize = 8;

fn life(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let config = daemon.sandbox_config("web")?;
    let script = daemon.script("main", "exec sleep 1000");
    let (sandbox, container, events) = daemon.block_on(async |mut client| {
        let mut stream = client
            .get_container_events(GetEventsRequest {})
            .await?
            .into_inner();
        let (sandbox, container) = live(&mut client, config, script).await?;
        let mut events = Vec::new();
        while events.len() < EVENTS {
            let event = stream.message().await?;
            events.push(event.context("a stream without an end")?);
        }
        Ok((sandbox, container, events))
    })?;
    let of = |id: &str| -> Vec<Kind> {
        let told = events.iter().filter(|event| event.container_id == id);
        told.map(|event| event.container_event_type()).collect()
    };
    let all = [
        Kind::ContainerCreatedEvent,
        Kind::ContainerStartedEvent,
        Kind::ContainerStoppedEvent,
        Kind::ContainerDeletedEvent,
    ];
    ensure!(of(&sandbox) == all, "of the sandbox: {:?}", of(&sandbox));
    ensure!(
        of(&container) == all,
        "of the container: {:?}",
        of(&container)
    );
    let rising = events
        .windows(2)
        .all(|pair| pair[0].created_at <= pair[1].created_at);
    ensure!(rising, "times do not fall");
    let named = events.iter().all(|event| {
        let status = event.pod_sandbox_status.as_ref();
        status.is_some_and(|status| status.id == sandbox)
    });
    ensure!(named, "an event without its sandbox is ignored");
    let last = events.last().context("the last event")?;
    ensure!(last.container_id == sandbox, "its DELETED is the last");
    has_statuses(&events, &container)
}

/// A kubelet that lives on events asks for no status: each event has those of the sandbox's containers.
fn has_statuses(events: &[ContainerEventResponse], container: &str) -> Result<()> {
    let of_container = |event: &&ContainerEventResponse| event.container_id == container;
    for event in events.iter().filter(of_container) {
        let kind = event.container_event_type();
        let statuses = event.containers_statuses.iter();
        let found: Vec<_> = statuses.filter(|status| status.id == container).collect();
        if kind == Kind::ContainerDeletedEvent {
            ensure!(found.is_empty(), "{event:?}");
            continue;
        }
        ensure!(found.len() == 1, "{event:?}");
        let ended = found[0].state() == ContainerState::ContainerExited;
        ensure!(ended || kind != Kind::ContainerStoppedEvent, "{event:?}");
    }
    Ok(())
}

/// Makes a pod with a container, and takes both back step by step; their ids.
async fn live(
    client: &mut Client,
    config: PodSandboxConfig,
    script: ContainerConfig,
) -> Result<(String, String)> {
    let request = RunPodSandboxRequest {
        config: Some(config),
        runtime_handler: String::new(),
    };
    let sandbox = client.run_pod_sandbox(request).await?.into_inner();
    let pod_sandbox_id = sandbox.pod_sandbox_id;
    let request = CreateContainerRequest {
        pod_sandbox_id: pod_sandbox_id.clone(),
        config: Some(script),
        sandbox_config: None,
    };
    let container = client.create_container(request).await?.into_inner();
    let container_id = container.container_id;
    let request = StartContainerRequest {
        container_id: container_id.clone(),
    };
    client.start_container(request).await?;
    let request = StopContainerRequest {
        container_id: container_id.clone(),
        timeout: 0,
    };
    client.stop_container(request).await?;
    let request = RemoveContainerRequest {
        container_id: container_id.clone(),
    };
    client.remove_container(request).await?;
    let request = StopPodSandboxRequest {
        pod_sandbox_id: pod_sandbox_id.clone(),
    };
    client.stop_pod_sandbox(request).await?;
    let request = RemovePodSandboxRequest {
        pod_sandbox_id: pod_sandbox_id.clone(),
    };
    client.remove_pod_sandbox(request).await?;
    Ok((pod_sandbox_id, container_id))
}
