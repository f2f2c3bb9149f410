//! The life of a sandbox over the Container Runtime Interface: READY, NOTREADY, gone, and nothing half-made.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerState, PodSandboxState, RunPodSandboxRequest};
use rustix::process::Signal;
use tonic::{Code, Request};

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
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
    }
    ensure!(daemon.sandboxes()?.len() == 1, "listed until it is removed");
    let late = daemon.create(&id, daemon.script("late", "true"));
    expect_failure(late, Code::FailedPrecondition, "not ready")?;
    for _ in 0..2 {
        daemon.remove_sandbox(&id)?;
        ensure!(daemon.sandboxes()?.is_empty(), "gone");
    }
    // The name is free again.
    let next = daemon.run_sandbox("web")?;
    daemon.remove_sandbox(&next)?;
    Ok(())
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
    // While it is being made its name is taken; then it is as if it had never been asked for.
    let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
    let id = loop {
        match daemon.run_sandbox("web") {
            Ok(id) => break id,
            Err(error) => {
                let reserved = format!("{error:#}").contains("in use");
                ensure!(reserved && Instant::now() < deadline, "{error:#}");
            }
        }
        thread::park_timeout(LOOK_AGAIN);
    };
    ensure!(
        daemon.sandboxes()?.len() == 1,
        "the one that was waited for"
    );
    daemon.remove_sandbox(&id)?;
    Ok(())
}

fn vm_dies(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let id = daemon.run_sandbox("web")?;
    let container = daemon.run(&id, "main", "sleep 1000")?;
    rustix::process::kill_process(case.monitor()?, Signal::KILL).context("kill the monitor")?;
    let status = daemon.ended(&container)?;
    ensure!(status.exit_code == 255, "{status:?}");
    ensure!(status.reason == "ContainerStatusUnknown", "{status:?}");
    ensure!(!status.message.is_empty(), "the cause is told: {status:?}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while daemon.sandbox_status(&id)?.state() != PodSandboxState::SandboxNotready {
        ensure!(Instant::now() < deadline, "it is still READY");
        thread::park_timeout(LOOK_AGAIN);
    }
    daemon.stop_sandbox(&id)?;
    daemon.remove_sandbox(&id)?;
    ensure!(daemon.containers()?.is_empty(), "they went with it");
    Ok(())
}

fn remove_running(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let id = daemon.run_sandbox("web")?;
    let running = daemon.run(&id, "main", "sleep 1000")?;
    let created = daemon.create(&id, daemon.script("later", "true"))?;
    let status = daemon.status(&created)?;
    ensure!(
        status.state() == ContainerState::ContainerCreated,
        "{status:?}"
    );
    ensure!(daemon.containers()?.len() == 2, "{running} and {created}");
    daemon.remove_sandbox(&id)?;
    ensure!(daemon.containers()?.is_empty(), "they went with it");
    Ok(())
}
