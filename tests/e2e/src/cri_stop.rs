//! The end of a container on request: the signal, the grace, the kill.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerState, Signal, StopContainerRequest};
use tonic::Request;

use crate::Test;
use crate::case::Case;
use crate::daemon::Daemon;

pub(crate) const TESTS: &[Test] = &[
    ("container_that_heeds_its_signal_ends_by_itself", heeds),
    (
        "container_that_ignores_it_is_killed_after_its_grace",
        ignores,
    ),
    ("container_may_name_another_signal", other_signal),
    ("removal_of_a_running_container_kills_it", remove_running),
];

/// Says when it has its trap; a signal before that would end it.
const READY: &str = "touch /tmp/ready; while :; do sleep 0.1; done";
/// Far more than a container that heeds needs.
const LONG_GRACE_SECONDS: i64 = 300;
const SHORT_GRACE_SECONDS: i64 = 2;

fn started(daemon: &Daemon<'_>, sandbox: &str, trap: &str, signal: Signal) -> Result<String> {
    let mut config = daemon.script("main", &format!("{trap}; {READY}"));
    config.stop_signal = signal.into();
    let id = daemon.create(sandbox, config)?;
    daemon.start_container(&id)?;
    let ready = daemon.exec(&id, "until test -e /tmp/ready; do sleep 0.1; done", 60)?;
    ensure!(ready.exit_code == 0, "{ready:?}");
    Ok(id)
}

fn heeds(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = started(
        &daemon,
        &sandbox,
        "trap 'exit 7' TERM",
        Signal::RuntimeDefault,
    )?;
    for _ in 0..2 {
        daemon.stop(&id, LONG_GRACE_SECONDS)?;
        let status = daemon.status(&id)?;
        ensure!(
            status.state() == ContainerState::ContainerExited,
            "{status:?}"
        );
        ensure!(
            (status.exit_code, status.reason.as_str()) == (7, "Error"),
            "{status:?}"
        );
    }
    daemon.remove(&id)?;
    // Without grace there is no signal to heed.
    let id = started(
        &daemon,
        &sandbox,
        "trap 'exit 7' TERM",
        Signal::RuntimeDefault,
    )?;
    daemon.stop(&id, 0)?;
    let status = daemon.status(&id)?;
    ensure!(status.exit_code == 137, "{status:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn ignores(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = started(&daemon, &sandbox, "trap '' TERM", Signal::RuntimeDefault)?;
    let begun = Instant::now();
    let stopped = daemon.stop(&id, SHORT_GRACE_SECONDS);
    stopped.with_context(|| daemon.log())?;
    let took = begun.elapsed();
    ensure!(took >= Duration::from_secs(2), "it had its grace: {took:?}");
    let status = daemon.status(&id)?;
    ensure!(
        status.state() == ContainerState::ContainerExited,
        "{status:?}"
    );
    ensure!(status.exit_code == 137, "{status:?}");
    daemon.remove(&id)?;
    // A caller that gives up stops nothing of it.
    let id = started(&daemon, &sandbox, "trap '' TERM", Signal::RuntimeDefault)?;
    let mut request = Request::new(StopContainerRequest {
        container_id: id.clone(),
        timeout: SHORT_GRACE_SECONDS,
    });
    request.set_timeout(Duration::from_millis(500));
    let left = daemon.call(async |mut client| client.stop_container(request).await);
    ensure!(left.is_err(), "{left:?}");
    let status = daemon.ended(&id).with_context(|| daemon.log())?;
    ensure!(status.exit_code == 137, "{status:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn other_signal(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let trap = "trap '' TERM; trap 'exit 9' USR1";
    let id = started(&daemon, &sandbox, trap, Signal::Sigusr1)?;
    ensure!(daemon.status(&id)?.stop_signal() == Signal::Sigusr1);
    daemon.stop(&id, LONG_GRACE_SECONDS)?;
    let status = daemon.status(&id)?;
    ensure!(status.exit_code == 9, "{status:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn remove_running(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = started(&daemon, &sandbox, "trap '' TERM", Signal::RuntimeDefault)?;
    daemon.remove(&id)?;
    ensure!(daemon.containers()?.is_empty(), "gone");
    // Its name is free.
    daemon.run(&sandbox, "main", "true")?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
