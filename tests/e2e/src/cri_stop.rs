//! The end of a container on request: the signal, the grace, the kill.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerState, Signal, StopContainerRequest};
use harness::busybox;
use toml::Table;
use tonic::Request;

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::Daemon;

pub(crate) const TESTS: &[Test] = &[
    ("container_that_heeds_its_signal_ends_by_itself", heeds),
    (
        "container_that_ignores_it_is_killed_after_its_grace",
        ignores,
    ),
    ("image_and_container_may_name_another_signal", other_signal),
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

/// An image whose StopSignal is SIGUSR2; CRI's word goes before the image's.
fn other_signal(case: &Case) -> Result<()> {
    let daemon = Daemon::start_with(case, Images::Own, Table::new())?;
    let archive = case.folder().join("image.tar");
    let image = busybox::busybox_image()?.stop_signal("SIGUSR2");
    image.build()?.write_oci_archive(&archive)?;
    let import = ["image", "import", &archive.to_string_lossy()];
    case.tell_of_daemon(&import)?.expect_code(0)?;
    let sandbox = daemon.run_sandbox("web")?;
    let check = |trap: &str, signal: Signal, grace: i64, told: Signal, code: i32| -> Result<()> {
        let id = started(&daemon, &sandbox, trap, signal)?;
        ensure!(daemon.status(&id)?.stop_signal() == told, "{trap}");
        daemon.stop(&id, grace)?;
        let status = daemon.status(&id)?;
        ensure!(status.exit_code == code, "{trap}: {status:?}");
        Ok(daemon.remove(&id)?)
    };
    let (of_image, usr1, usr2) = (Signal::RuntimeDefault, Signal::Sigusr1, Signal::Sigusr2);
    let trap = "trap '' TERM USR2; trap 'exit 9' USR1";
    check(trap, usr1, LONG_GRACE_SECONDS, usr1, 9)?;
    let trap = "trap '' TERM USR1; trap 'exit 8' USR2";
    check(trap, of_image, LONG_GRACE_SECONDS, usr2, 8)?;
    check("trap '' USR2", of_image, SHORT_GRACE_SECONDS, usr2, 137)?;
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
