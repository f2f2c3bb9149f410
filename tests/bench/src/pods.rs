//! Pods by the Container Runtime Interface: `cofferdam serve` beside containerd with runc, both driven through the same calls on the same
//! host, in turn. Main function: [`measure`]; the daemons are in `node`, memory is in `resident`, execs are in `streams`.
//!
//! Times in an emulated host mean nothing by themselves; their ratios say something, because each round does the same with both.

pub(crate) mod node;
mod resident;
mod streams;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, LinuxPodSandboxConfig,
    PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopPodSandboxRequest,
};
use serde::{Deserialize, Serialize};

use crate::dist::Dist;
use node::Node;

/// How often each does it; the medians are told.
const ROUNDS: u32 = 7;

/// Pods that idle side by side when their memory is counted.
const IDLE_PODS: u32 = 3;

/// What was measured of both.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) ours: Sample,
    pub(crate) containerd: Sample,
}

/// Of one runtime.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// RunPodSandbox, microseconds, median.
    pub(crate) sandbox_us: u64,
    /// CreateContainer and StartContainer, microseconds, median.
    pub(crate) container_us: u64,
    /// Exec of a command that does nothing, to its status at the client, microseconds, median.
    pub(crate) exec_us: u64,
    /// Exec of `cat` with 16 MiB, which come back, microseconds, median.
    pub(crate) transfer_us: u64,
    /// StopPodSandbox and RemovePodSandbox, microseconds, median.
    pub(crate) removal_us: u64,
    /// Memory of all processes that one more idle pod of one container takes, in KiB.
    pub(crate) idle_pod_kib: u64,
    /// The median of each stage of RunPodSandbox, in order, where the runtime tells them.
    pub(crate) stages: Vec<(String, u64)>,
}

/// The times of one round.
#[derive(Debug, Default)]
struct Round {
    sandbox_us: u64,
    container_us: u64,
    exec_us: u64,
    transfer_us: u64,
    removal_us: u64,
    stages: Vec<(String, u64)>,
}

pub(crate) async fn measure(dist: &Dist) -> Result<Measured> {
    let mut ours = Node::cofferdam(dist, &node::image()?)
        .await
        .context("start cofferdam")?;
    let mut theirs = Node::containerd().await.context("start containerd")?;
    let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
    // The first round of each warms caches up, and does not count.
    for number in 0..=ROUNDS {
        let (our, their) = (
            round(&mut ours, number).await?,
            round(&mut theirs, number).await?,
        );
        if number > 0 {
            our_rounds.push(our);
            their_rounds.push(their);
        }
    }
    Ok(Measured {
        ours: sample(&our_rounds, idle_pod_kib(&mut ours).await?),
        containerd: sample(&their_rounds, idle_pod_kib(&mut theirs).await?),
    })
}

fn sample(rounds: &[Round], idle_pod_kib: u64) -> Sample {
    let of = |figure: fn(&Round) -> u64| median(rounds.iter().map(figure).collect());
    let mut stages: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (name, took) in rounds.iter().flat_map(|round| &round.stages) {
        stages.entry(name).or_default().push(*took);
    }
    let in_order = rounds
        .first()
        .map(|round| round.stages.iter())
        .into_iter()
        .flatten();
    Sample {
        sandbox_us: of(|round| round.sandbox_us),
        container_us: of(|round| round.container_us),
        exec_us: of(|round| round.exec_us),
        transfer_us: of(|round| round.transfer_us),
        removal_us: of(|round| round.removal_us),
        idle_pod_kib,
        stages: in_order
            .map(|(name, _)| {
                (
                    name.clone(),
                    median(stages.remove(name.as_str()).unwrap_or_default()),
                )
            })
            .collect(),
    }
}

/// Of an odd number of figures.
fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or(0)
}

/// One pod from nothing to nothing.
async fn round(node: &mut Node, number: u32) -> Result<Round> {
    let begun = Instant::now();
    let sandbox = run_sandbox(node, number).await?;
    let sandbox_us = micros(begun);
    let begun = Instant::now();
    let container = run_container(node, number, &sandbox).await?;
    let container_us = micros(begun);
    let exec_us = streams::latency_us(node, &container).await?;
    let transfer_us = streams::transfer_us(node, &container).await?;
    let stages = stages(node, &sandbox).await?;
    let begun = Instant::now();
    remove(node, sandbox).await?;
    Ok(Round {
        sandbox_us,
        container_us,
        exec_us,
        transfer_us,
        removal_us: micros(begun),
        stages,
    })
}

fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn idle_pod_kib(node: &mut Node) -> Result<u64> {
    let before = resident::kib()?;
    let mut sandboxes = Vec::new();
    for number in 0..IDLE_PODS {
        let sandbox = run_sandbox(node, number).await?;
        run_container(node, number, &sandbox).await?;
        sandboxes.push(sandbox);
    }
    let grown = resident::kib()?.checked_sub(before);
    for sandbox in sandboxes {
        remove(node, sandbox).await?;
    }
    let grown = grown.context("pods take no memory at all")?;
    Ok(grown / u64::from(IDLE_PODS))
}

fn sandbox_config(number: u32) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: format!("pod-{number}"),
            uid: format!("uid-{number}"),
            namespace: "bench".to_owned(),
            attempt: 0,
        }),
        hostname: "bench".to_owned(),
        linux: Some(LinuxPodSandboxConfig::default()),
        ..PodSandboxConfig::default()
    }
}

pub(crate) async fn run_sandbox(node: &mut Node, number: u32) -> Result<String> {
    let request = RunPodSandboxRequest {
        config: Some(sandbox_config(number)),
        runtime_handler: String::new(),
    };
    let answer = node.runtime.run_pod_sandbox(request).await;
    Ok(answer.context("run a sandbox")?.into_inner().pod_sandbox_id)
}

/// A container that does nothing for a long time; its id.
async fn run_container(node: &mut Node, number: u32, sandbox: &str) -> Result<String> {
    run_configured(node, number, sandbox, ContainerConfig::default()).await
}

/// The same with what this configuration has.
pub(crate) async fn run_configured(
    node: &mut Node,
    number: u32,
    sandbox: &str,
    config: ContainerConfig,
) -> Result<String> {
    let request = CreateContainerRequest {
        pod_sandbox_id: sandbox.to_owned(),
        config: Some(ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                attempt: 0,
            }),
            image: Some(ImageSpec {
                image: node::IMAGE.to_owned(),
                ..ImageSpec::default()
            }),
            command: node::IDLE.map(str::to_owned).into(),
            ..config
        }),
        sandbox_config: Some(sandbox_config(number)),
    };
    let created = node.runtime.create_container(request).await;
    let container_id = created
        .context("create a container")?
        .into_inner()
        .container_id;
    let request = StartContainerRequest {
        container_id: container_id.clone(),
    };
    let started = node.runtime.start_container(request).await;
    started.context("start a container")?;
    Ok(container_id)
}

pub(crate) async fn remove(node: &mut Node, sandbox: String) -> Result<()> {
    let request = StopPodSandboxRequest {
        pod_sandbox_id: sandbox.clone(),
    };
    let stopped = node.runtime.stop_pod_sandbox(request).await;
    stopped.context("stop a sandbox")?;
    let request = RemovePodSandboxRequest {
        pod_sandbox_id: sandbox,
    };
    let removed = node.runtime.remove_pod_sandbox(request).await;
    removed.context("remove a sandbox")?;
    Ok(())
}

/// What the runtime says of the stages of a start: ours, in the verbose status.
async fn stages(node: &mut Node, sandbox: &str) -> Result<Vec<(String, u64)>> {
    if !node.tells_stages {
        return Ok(Vec::new());
    }
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: sandbox.to_owned(),
        verbose: true,
    };
    let answer = node.runtime.pod_sandbox_status(request).await?.into_inner();
    let info = answer.info.get("info").context("a verbose status")?;
    let info: serde_json::Value = serde_json::from_str(info).context("read a verbose status")?;
    let stages = info.get("start").and_then(|start| start.as_array());
    let stages = stages.into_iter().flatten().filter_map(|stage| {
        let name = stage.get("name")?.as_str()?.to_owned();
        Some((name, stage.get("us")?.as_u64()?))
    });
    let stages: Vec<_> = stages.collect();
    ensure!(
        !stages.is_empty(),
        "the verbose status names no stage: {info}"
    );
    Ok(stages)
}
