//! The life of a sandbox over the Container Runtime Interface: READY, NOTREADY, gone, and nothing half-made.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{
    Container, ContainerFilter, ContainerState, ContainerStateValue, ListContainerStatsRequest,
    ListContainersRequest, PodSandbox, PodSandboxState, PodSandboxStatusRequest,
    PodSandboxStatusResponse, RunPodSandboxRequest, StreamContainersRequest,
    StreamPodSandboxesRequest,
};
use rustix::process::Signal;
use tonic::{Code, Request, Status};

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, all, expect_failure};
use crate::deadlines::{self, LOOK_AGAIN};

pub(crate) const TESTS: &[Test] = &[
    ("sandbox_lives_from_run_to_remove", life),
    ("sandbox_that_nobody_waited_for_is_taken_back", given_up),
    ("sandbox_whose_vm_dies_is_not_ready", vm_dies),
    (
        "removal_of_a_running_sandbox_takes_everything",
        remove_running,
    ),
];

fn life(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let id = daemon.run_sandbox("web")?;
    ensure!(id.len() == 32, "{id}");
    let status = daemon.sandbox_status(&id)?;
    ensure!(
        status.state() == PodSandboxState::SandboxReady,
        "{status:?}"
    );
    ensure!(status.created_at > 0, "{status:?}");
    ensure!(
        daemon.sandbox_status(&id[..8])?.id == id,
        "a prefix finds it"
    );
    let network = status.network;
    ensure!(network.is_some(), "it has an address");
    let again = daemon.call(async |mut client| {
        let request = RunPodSandboxRequest {
            config: Some(daemon.sandbox_config("web").unwrap_or_default()),
            runtime_handler: String::new(),
        };
        client.run_pod_sandbox(request).await
    });
    expect_failure(again, Code::AlreadyExists, &id)?;
    for _ in 0..2 {
        daemon.stop_sandbox(&id)?;
        let status = daemon.sandbox_status(&id)?;
        ensure!(
            status.state() == PodSandboxState::SandboxNotready,
            "{status:?}"
        );
        ensure!(status.network == network, "still told: {status:?}");
    }
    ensure!(daemon.sandboxes()?.len() == 1, "listed until it is removed");
    let late = daemon.create(&id, daemon.script("late", "true"));
    expect_failure(late, Code::FailedPrecondition, "not ready")?;
    for _ in 0..2 {
        daemon.remove_sandbox(&id)?;
        ensure!(daemon.sandboxes()?.is_empty(), "gone");
    }
    // One that is gone has stopped, and so has one that never was; neither has a status.
    for unknown in [id, "0123456789abcdef".repeat(2)] {
        daemon.stop_sandbox(&unknown)?;
        daemon.remove_sandbox(&unknown)?;
        expect_failure(whole_status(&daemon, &unknown), Code::NotFound, &unknown)?;
    }
    // The name is free again.
    let next = daemon.run_sandbox("web")?;
    daemon.remove_sandbox(&next)?;
    Ok(())
}

fn whole_status(daemon: &Daemon<'_>, id: &str) -> Result<PodSandboxStatusResponse, Status> {
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: id.to_owned(),
        verbose: false,
    };
    daemon.call(async |mut client| client.pod_sandbox_status(request).await)
}

/// Shorter than any boot.
const IMPATIENT: Duration = Duration::from_millis(100);

fn given_up(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let mut request = Request::new(RunPodSandboxRequest {
        config: Some(daemon.sandbox_config("web")?),
        runtime_handler: String::new(),
    });
    request.set_timeout(IMPATIENT);
    let given_up = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    ensure!(given_up.is_err(), "no VM boots in {IMPATIENT:?}");
    let id = run_when_free(&daemon, "web")?;
    ensure!(
        daemon.sandboxes()?.len() == 1,
        "the one that was waited for"
    );
    daemon.remove_sandbox(&id)?;
    Ok(())
}

/// Runs one whose name somebody gave up: while that is being made its name is taken; then it is as if it had never been asked for.
pub(crate) fn run_when_free(daemon: &Daemon<'_>, name: &str) -> Result<String> {
    let deadline = Instant::now() + daemon.case.patience.stretch(deadlines::LONG_RUN);
    loop {
        match daemon.run_sandbox(name) {
            Ok(id) => return Ok(id),
            Err(error) => {
                let reserved = format!("{error:#}").contains("in use");
                ensure!(reserved && Instant::now() < deadline, "{error:#}");
            }
        }
        thread::park_timeout(LOOK_AGAIN);
    }
}

fn vm_dies(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let id = daemon.run_sandbox("web")?;
    let container = daemon.run(&id, "main", "sleep 1000")?;
    rustix::process::kill_process(case.monitor()?, Signal::KILL).context("kill the monitor")?;
    // Nobody knows yet, or somebody does: the list is one all the same.
    stats(&daemon).context("while the pod dies")?;
    let status = daemon.ended(&container)?;
    ensure!(status.exit_code == 255, "{status:?}");
    ensure!(status.reason == "ContainerStatusUnknown", "{status:?}");
    ensure!(!status.message.is_empty(), "the cause is told: {status:?}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while daemon.sandbox_status(&id)?.state() != PodSandboxState::SandboxNotready {
        ensure!(Instant::now() < deadline, "it is still READY");
        thread::park_timeout(LOOK_AGAIN);
    }
    let listed = stats(&daemon)?;
    ensure!(listed == 0, "{listed} have figures, and none runs");
    daemon.stop_sandbox(&id)?;
    daemon.remove_sandbox(&id)?;
    ensure!(daemon.containers()?.is_empty(), "they went with it");
    Ok(())
}

/// How many containers the list of statistics has.
fn stats(daemon: &Daemon<'_>) -> Result<usize, Status> {
    let request = ListContainerStatsRequest::default();
    let answer = daemon.call(async |mut client| client.list_container_stats(request).await);
    answer.map(|answer| answer.stats.len())
}

fn remove_running(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let mut config = daemon.sandbox_config("web")?;
    config.metadata.get_or_insert_default().attempt = 3;
    let metadata = config.metadata.clone();
    let id = daemon.run_configured(config, "")?;
    let running = daemon.run(&id, "main", "sleep 1000")?;
    let created = daemon.create(&id, daemon.script("later", "true"))?;
    let status = daemon.status(&created)?;
    ensure!(
        status.state() == ContainerState::ContainerCreated,
        "{status:?}"
    );
    let whole = whole_status(&daemon, &id)?;
    let sandbox = whole.status.context("a sandbox's status")?;
    ensure!(sandbox.metadata == metadata, "{sandbox:?}");
    ensure!(whole.timestamp > sandbox.created_at, "{}", whole.timestamp);
    let told = whole.containers_statuses.into_iter();
    let told = told.map(|status| status.id).collect();
    ensure!(sorted(told) == sorted(vec![running, created.clone()]));
    lists_and_streams(&daemon, &created)?;
    daemon.remove_sandbox(&id)?;
    ensure!(daemon.containers()?.is_empty(), "they went with it");
    Ok(())
}

/// A stream has what its list has; the filter lets this container through, and not the one that runs.
fn lists_and_streams(daemon: &Daemon<'_>, created: &str) -> Result<()> {
    let listed = daemon.sandboxes()?;
    ensure!(listed.len() == 1, "{listed:?}");
    ensure!(listed.iter().all(|sandbox| sandbox.created_at > 0));
    ensure!(streamed_sandboxes(daemon)? == listed, "{listed:?}");
    let request = ListContainersRequest::default();
    let answer = daemon.call(async |mut client| client.list_containers(request).await);
    let listed = answer?.containers;
    ensure!(listed.len() == 2, "{listed:?}");
    ensure!(listed.iter().all(|container| container.created_at > 0));
    let ids =
        |containers: Vec<Container>| sorted(containers.into_iter().map(|one| one.id).collect());
    let streamed = streamed_containers(daemon, None)?;
    ensure!(ids(streamed) == ids(listed), "all of them");
    let filter = ContainerFilter {
        state: Some(ContainerStateValue {
            state: ContainerState::ContainerCreated.into(),
        }),
        ..ContainerFilter::default()
    };
    let streamed = streamed_containers(daemon, Some(filter))?;
    ensure!(ids(streamed) == [created], "those that did not start");
    Ok(())
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

/// All that StreamPodSandboxes says until its end.
fn streamed_sandboxes(daemon: &Daemon<'_>) -> Result<Vec<PodSandbox>> {
    daemon.block_on(async |mut client| {
        let request = StreamPodSandboxesRequest::default();
        let stream = client.stream_pod_sandboxes(request).await?;
        Ok(all(stream, |piece| piece.pod_sandboxes).await?)
    })
}

/// All that StreamContainers says until its end.
fn streamed_containers(
    daemon: &Daemon<'_>,
    filter: Option<ContainerFilter>,
) -> Result<Vec<Container>> {
    daemon.block_on(async |mut client| {
        let request = StreamContainersRequest { filter };
        let stream = client.stream_containers(request).await?;
        Ok(all(stream, |piece| piece.containers).await?)
    })
}
