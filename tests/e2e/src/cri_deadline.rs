//! Deadlines that kubelet and critest send with a call: the daemon itself says that they have passed, and takes back what it began.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{ExecSyncRequest, PullImageRequest, RunPodSandboxRequest};
use harness::registry::{Access, Registry};
use prost::Message;
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::cri_image;
use crate::cri_many::nothing_known;
use crate::cri_pull::at_work;
use crate::cri_sandbox::run_when_free;
use crate::daemon::{Daemon, expect_failure};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::wire;

pub(crate) const TESTS: &[Test] = &[
    (
        "sandbox_and_command_of_a_passed_deadline_are_taken_back",
        pod,
    ),
    ("pull_of_a_passed_deadline_leaves_nothing", pull),
];

/// critest's.
const SHORTEST: Duration = Duration::from_millis(1);
/// The work has begun by then, and is far from its end.
const LONGER: Duration = Duration::from_millis(25);

/// Calls with a deadline that passes. While what an earlier call made is taken back, its name is taken: then it calls again.
fn exceeded(
    daemon: &Daemon<'_>,
    method: &str,
    message: &impl Message,
    deadline: Duration,
) -> Result<()> {
    let socket = daemon.case.socket();
    let patience = Instant::now() + daemon.case.patience.stretch(deadlines::LONG_RUN);
    loop {
        let ended = daemon.block_on(async |_client| {
            let ended = wire::status(&socket, method, message, deadline).await;
            ended.with_context(|| format!("call {method}"))
        })?;
        if ended.code() == Code::AlreadyExists && Instant::now() < patience {
            thread::park_timeout(LOOK_AGAIN);
            continue;
        }
        return expect_failure::<()>(Err(ended), Code::DeadlineExceeded, "deadline")
            .with_context(|| format!("{method} within {deadline:?}"));
    }
}

fn pod(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let request = RunPodSandboxRequest {
        config: Some(daemon.sandbox_config("web")?),
        runtime_handler: String::new(),
    };
    for deadline in [SHORTEST, LONGER] {
        let method = "/runtime.v1.RuntimeService/RunPodSandbox";
        exceeded(&daemon, method, &request, deadline)?;
    }
    let sandbox = run_when_free(&daemon, "web")?;
    let listed = daemon.sandboxes()?;
    ensure!(listed.len() == 1 && listed[0].id == sandbox, "{listed:?}");

    let id = daemon.run(&sandbox, "main", "exec sleep 1000")?;
    let request = ExecSyncRequest {
        container_id: id.clone(),
        cmd: ["sh", "-c", "sleep 4321 & sleep 4322"]
            .map(str::to_owned)
            .into(),
        timeout: 0,
    };
    for deadline in [SHORTEST, LONGER] {
        let method = "/runtime.v1.RuntimeService/ExecSync";
        exceeded(&daemon, method, &request, deadline)?;
    }
    // The brackets keep grep from finding itself.
    let find = "until ! grep -l '432[12]' /proc/[0-9]*/cmdline; do sleep 0.1; done";
    let left = daemon.exec(&id, find, 60)?;
    ensure!(left.exit_code == 0, "left: {left:?}");
    let again = daemon.exec(&id, "echo again", 60)?;
    ensure!(again.stdout == b"again\n", "{again:?}");

    daemon.remove_sandbox(&sandbox)?;
    nothing_known(case, &daemon)
}

fn pull(case: &Case) -> Result<()> {
    let (storage, image) = (cri_image::storage(case)?, cri_image::marked("one")?);
    storage.put("team/app", "1", &image.content())?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let daemon = cri_image::daemon(case, &registry)?;
    let empty = cri_image::used_bytes(&daemon)?;
    let name = format!("{}/team/app:1", registry.address());
    let request = PullImageRequest {
        image: Some(cri_image::spec(&name)),
        ..PullImageRequest::default()
    };
    // No pull is too fast for its deadline.
    registry.freeze()?;
    for deadline in [SHORTEST, LONGER] {
        let method = "/runtime.v1.ImageService/PullImage";
        exceeded(&daemon, method, &request, deadline)?;
    }
    let patience = Instant::now() + case.patience.stretch(deadlines::STEP);
    let folder = case.daemon_images().join("tmp");
    while fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        ensure!(Instant::now() < patience, "{} bytes stay", at_work(case));
        thread::park_timeout(LOOK_AGAIN);
    }
    ensure!(cri_image::listed(&daemon)?.is_empty(), "of half a pull");
    ensure!(cri_image::used_bytes(&daemon)? == empty, "nothing stays");
    registry.thaw()?;
    let id = cri_image::pull(&daemon, &name).context("by somebody who waits")?;
    cri_image::remove(&daemon, &id)?;
    ensure!(cri_image::used_bytes(&daemon)? == empty, "nothing stays");
    Ok(())
}
