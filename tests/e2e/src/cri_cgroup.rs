//! Where a pod's VM is counted on its host: in the cgroup that kubelet has made for the pod, or in the configured one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cri::v1::{
    CgroupDriver, LinuxPodSandboxConfig, PodSandboxStatusRequest, RunPodSandboxRequest,
    RuntimeConfigRequest,
};
use rustix::process::Pid;
use serde_json::Value;
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::deadlines;

pub(crate) const TESTS: &[Test] = &[
    ("monitor_lives_in_the_sandboxs_cgroup_and_leaves_none", pod),
    ("monitor_of_a_run_lives_in_the_configured_cgroup", run),
    ("cgroup_parent_that_can_not_be_is_refused", refused),
];

const MOUNT: &str = "/sys/fs/cgroup";
const PARENT: &str = "/kubepods/besteffort/pod-of-web";

fn request(daemon: &Daemon<'_>, parent: &str) -> Result<RunPodSandboxRequest> {
    let mut config = daemon.sandbox_config("web")?;
    config.linux = Some(LinuxPodSandboxConfig {
        cgroup_parent: parent.to_owned(),
        ..LinuxPodSandboxConfig::default()
    });
    Ok(RunPodSandboxRequest {
        config: Some(config),
        runtime_handler: String::new(),
    })
}

/// The cgroup of a process, as proc_pid_cgroup(5) has it.
fn cgroup_of(process: Pid) -> Result<String> {
    let pid = process.as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).context("read its cgroup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(line.context("a cgroup of version 2")?.to_owned())
}

fn folder(cgroup: &str) -> PathBuf {
    Path::new(MOUNT).join(cgroup.trim_start_matches('/'))
}

fn pod(case: &Case) -> Result<()> {
    // As kubelet does it: the pod's cgroup is there before the pod, and stays.
    let parent = folder(PARENT);
    fs::create_dir_all(&parent).context("make the pod's cgroup")?;
    let result = pod_below(case, &parent);
    let own = parent.is_dir();
    let made = [PARENT, "/kubepods/besteffort", "/kubepods"].map(folder);
    let removed = made.iter().try_for_each(fs::remove_dir);
    result?;
    removed.context("remove the pod's cgroup")?;
    ensure!(own, "the cgroup that others made was removed");
    Ok(())
}

fn pod_below(case: &Case, parent: &Path) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    // Whose name of the parent was a path.
    let told =
        daemon.call(async |mut client| client.runtime_config(RuntimeConfigRequest {}).await)?;
    let driver = told.linux.map(|linux| linux.cgroup_driver());
    ensure!(driver == Some(CgroupDriver::Cgroupfs), "{driver:?}");
    let request = request(&daemon, PARENT)?;
    let answer = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    let id = answer.with_context(|| daemon.log())?.pod_sandbox_id;
    let is = cgroup_of(case.monitor()?)?;
    ensure!(is == format!("{PARENT}/cofferdam-{id}"), "it is in {is}");
    // What it does is counted there.
    let bytes = fs::read_to_string(folder(&is).join("memory.current")).context("its memory")?;
    let bytes: u64 = bytes.trim().parse().context("a number of bytes")?;
    ensure!(bytes > 8 << 20, "a guest that runs has {bytes} bytes");

    let status = PodSandboxStatusRequest {
        pod_sandbox_id: id.clone(),
        verbose: true,
    };
    let answer = daemon.call(async |mut client| client.pod_sandbox_status(status).await)?;
    let info: Value = serde_json::from_str(&answer.info["info"]).context("read the info")?;
    ensure!(
        info["cgroup"] == folder(&is).to_string_lossy().as_ref(),
        "{info}"
    );
    let stages = info["start"]
        .as_array()
        .context("the stages of the start")?;
    ensure!(stages.len() == 3, "{info}");

    // The next daemon knows where it is, and how long its start took.
    daemon.restart()?;
    let shown = case.tell(&["inspect", &id, "--json"])?;
    shown.expect_code(0)?;
    let shown: Value = serde_json::from_slice(&shown.stdout).context("read JSON")?;
    let boot = &shown["start"][1];
    ensure!(boot["stage"] == "guest booted, agent answered", "{shown}");
    ensure!(boot["ms"].as_f64().is_some_and(|ms| ms > 1.0), "{shown}");
    daemon.remove_sandbox(&id)?;
    let left: Vec<_> = fs::read_dir(parent)
        .context("look into the pod's cgroup")?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .collect();
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

fn run(case: &Case) -> Result<()> {
    // The first process of a PID namespace gets no signal that it has not asked for.
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 1; done";
    let running = case.start(&[], &["sh", "-c", script])?;
    let started = running
        .stdout
        .wait_for("ready", case.patience.stretch(deadlines::RUN));
    let is = case.monitor().and_then(cgroup_of);
    running.signal(rustix::process::Signal::TERM)?;
    running.finish(case.patience.stretch(deadlines::RUN))?;
    started?;
    let is = is?;
    ensure!(is.starts_with("/cofferdam/cofferdam-run-"), "it is in {is}");
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let request = request(&daemon, "/kubepods/../../outside")?;
    let answer = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    expect_failure(
        answer.map(|_| ()),
        Code::InvalidArgument,
        "linux.cgroup_parent",
    )?;
    let nobody = daemon.run_configured(daemon.sandbox_config("web")?, "nobody");
    let words = "there is no runtime handler \"nobody\"";
    expect_failure(nobody, Code::InvalidArgument, words)?;
    // Twice what gRPC takes where nobody says otherwise.
    let mut large = daemon.sandbox_config("web")?;
    large.annotations = [("large".to_owned(), "x".repeat(8 << 20))].into();
    let answer = daemon.run_configured(large, "");
    expect_failure(answer, Code::InvalidArgument, "at most")
}
