//! The life of a container over the Container Runtime Interface: states, exit codes, several in a sandbox.

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerState, ContainerStatusRequest, Int64Value, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, ListContainersRequest,
};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure, log_text};

pub(crate) const TESTS: &[Test] = &[
    ("container_is_created_runs_ends_and_goes", life),
    ("ends_have_codes_and_reasons", ends),
    ("command_that_is_not_there_is_a_start_error", no_command),
    ("container_out_of_memory_is_oom_killed", out_of_memory),
    ("two_containers_share_a_vm_and_nothing_else", two),
    ("container_without_a_log_is_not_held_up", no_log),
];

fn life(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let config = daemon.script("main", "echo out; echo err >&2; exec cat /hello");
    let id = daemon.create(&sandbox, config.clone())?;
    let status = daemon.status(&id)?;
    ensure!(
        status.state() == ContainerState::ContainerCreated,
        "{status:?}"
    );
    ensure!(
        status.started_at == 0 && status.finished_at == 0,
        "{status:?}"
    );
    ensure!(!status.image_ref.is_empty() && status.image_id.starts_with("sha256:"));
    let image = status.image.context("its image")?.image;
    ensure!(!image.is_empty(), "kubelet refuses a status without it");
    let again = daemon.create(&sandbox, config);
    expect_failure(again, Code::AlreadyExists, &id)?;
    daemon.start_container(&id)?;
    let twice = daemon.start_container(&id);
    expect_failure(twice, Code::FailedPrecondition, &id)?;
    let status = daemon.ended(&id)?;
    ensure!(
        (status.exit_code, status.reason.as_str()) == (0, "Completed"),
        "{status:?}"
    );
    ensure!(
        status.finished_at >= status.started_at && status.started_at > 0,
        "{status:?}"
    );
    let log = daemon.logs().join("main.log");
    ensure!(status.log_path == log.to_string_lossy(), "{status:?}");
    ensure!(log_text(&log, "stdout")? == b"out\nfrom the upper layer\n");
    ensure!(log_text(&log, "stderr")? == b"err\n");
    for _ in 0..2 {
        daemon.remove(&id)?;
        ensure!(daemon.containers()?.is_empty(), "gone");
    }
    // One that is gone has stopped, and so has one that never was; neither has a status.
    for unknown in [id, "0123456789abcdef".repeat(2)] {
        daemon.stop(&unknown, 0)?;
        daemon.remove(&unknown)?;
        let request = ContainerStatusRequest {
            container_id: unknown.clone(),
            verbose: false,
        };
        let status = daemon.call(async |mut client| client.container_status(request).await);
        expect_failure(status, Code::NotFound, &unknown)?;
    }
    ensure!(log.exists(), "kubelet removes the log");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn ends(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let cases = [
        ("zero", "exit 0", 0, "Completed"),
        ("three", "exit 3", 3, "Error"),
        // A process can't kill the first one of its own PID namespace (pid_namespaces(7)), so a child.
        ("killed", "sh -c 'kill -9 $$'; exit $?", 137, "Error"),
        ("illegal", "exec /bin/trap", 132, "Error"),
    ];
    for (name, script, code, reason) in cases {
        let id = daemon.run(&sandbox, name, script)?;
        let status = daemon.ended(&id)?;
        let told = (status.exit_code, status.reason.as_str());
        ensure!(told == (code, reason), "{name}: {status:?}");
    }
    ensure!(
        daemon.containers()?.len() == cases.len(),
        "ended ones stay listed"
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn no_command(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", "");
    config.command = vec!["/no/such/command".to_owned()];
    let id = daemon.create(&sandbox, config)?;
    let started = daemon.start_container(&id);
    ensure!(started.is_err(), "it can't be started");
    let status = daemon.ended(&id)?;
    let told = (status.exit_code, status.reason.as_str());
    ensure!(told == (128, "StartError"), "{status:?}");
    ensure!(status.message.contains("/no/such/command"), "{status:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn out_of_memory(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", "exec dd if=/dev/zero of=/dev/null bs=30M");
    config.linux = Some(LinuxContainerConfig {
        resources: Some(LinuxContainerResources {
            memory_limit_in_bytes: 15 << 20,
            ..LinuxContainerResources::default()
        }),
        security_context: None,
    });
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let status = daemon.ended(&id)?;
    let told = (status.exit_code, status.reason.as_str());
    ensure!(told == (137, "OOMKilled"), "{status:?}");
    let linux = status.resources.and_then(|resources| resources.linux);
    let limit = linux.context("its limits")?.memory_limit_in_bytes;
    ensure!(limit == 15 << 20, "{limit}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn two(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let script = |name| format!("echo {name}; hostname; id -u; touch /tmp/{name}; exec sleep 1000");
    let one = daemon.run(&sandbox, "one", &script("one"))?;
    let mut config = daemon.script("two", &script("two"));
    config.linux = Some(LinuxContainerConfig {
        resources: None,
        security_context: Some(LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 1000 }),
            ..LinuxContainerSecurityContext::default()
        }),
    });
    let two = daemon.create(&sandbox, config)?;
    daemon.start_container(&two)?;
    let seen = |id: &str, own: &str, other: &str| -> Result<()> {
        let script = format!("until test -e /tmp/{own}; do :; done; test ! -e /tmp/{other}");
        let code = daemon.exec(id, &script, 30)?.exit_code;
        ensure!(code == 0, "{id} sees another's files ({code})");
        Ok(())
    };
    seen(&one, "one", "two")?;
    seen(&two, "two", "one")?;
    listed_as_they_are(&daemon, &sandbox, &[&one, &two])?;
    daemon.stop(&one, 0)?;
    let status = daemon.status(&two)?;
    ensure!(
        status.state() == ContainerState::ContainerRunning,
        "{status:?}"
    );
    daemon.stop(&two, 0)?;
    let log = |name: &str| log_text(&daemon.logs().join(format!("{name}.log")), "stdout");
    ensure!(log("one")? == b"one\nweb\n0\n", "{:?}", log("one")?);
    ensure!(log("two")? == b"two\nweb\n1000\n", "{:?}", log("two")?);
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// The list says of each in which sandbox it is, and its image as its status does.
fn listed_as_they_are(daemon: &Daemon<'_>, sandbox: &str, ids: &[&str]) -> Result<()> {
    let request = ListContainersRequest::default();
    let answer = daemon.call(async |mut client| client.list_containers(request).await);
    let listed = answer?.containers;
    ensure!(listed.len() == ids.len(), "{listed:?}");
    for id in ids {
        let status = daemon.status(id)?;
        let container = listed.iter().find(|container| container.id == *id);
        let container = container.with_context(|| format!("{id} is not listed"))?;
        ensure!(container.pod_sandbox_id == sandbox, "{container:?}");
        ensure!(!container.image_ref.is_empty(), "{container:?}");
        ensure!(container.image_ref == status.image_ref, "{container:?}");
        ensure!(!container.image_id.is_empty(), "{container:?}");
        ensure!(container.image_id == status.image_id, "{container:?}");
    }
    Ok(())
}

/// More than the guest holds for a reader that doesn't come.
fn no_log(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", "cat /block /block");
    config.log_path = String::new();
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let status = daemon.ended(&id)?;
    ensure!(
        status.exit_code == 0 && status.log_path.is_empty(),
        "{status:?}"
    );
    daemon.remove(&id)?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
