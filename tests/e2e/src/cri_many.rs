//! Many pods at once: they come and go, ten at a time, while a part of them fails in every way that a node knows; ten outlive a
//! daemon that is killed. Nothing may be left of any of them.
//!
//! Main type: [`Fate`], what happens to a pod.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cri::v1::{
    ContainerConfig, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ImageSpec, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, ListPodSandboxRequest, PodSandboxConfig,
    RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest, StopPodSandboxRequest,
};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};
use vm_client::{Deadlines, Monitor};

use crate::Test;
use crate::case::Case;
use crate::daemon::{Client, Daemon, log_text};
use crate::deadlines;
use crate::network::{LEASES, OWN_PLUGINS};
use crate::test_host::WHILE_BOOTING;

pub(crate) const TESTS: &[Test] = &[
    ("many_pods_come_and_go_while_some_fail", many),
    ("ten_pods_outlive_a_killed_daemon", ten_outlive),
    ("full_disk_is_said_and_leaves_nothing", full_disk),
];

/// Says how many pods come and go: `COFFERDAM_E2E_PODS=100` for a thorough run.
pub(crate) const PODS_VARIABLE: &str = "COFFERDAM_E2E_PODS";
const USUAL_PODS: usize = 10;
const AT_A_TIME: usize = 10;

/// Printed by each of the ten, a line at a time.
const LINES: usize = 20_000;

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It runs, ends with a code, and is removed.
    Ends,
    /// It is removed while it runs.
    Removed,
    /// The CNI plugin exits with 1 when it is attached.
    PluginFails,
    /// Somebody kills its monitor.
    MonitorKilled,
    /// Its guest panics.
    GuestPanics,
    /// A container's image is nowhere, and no registry answers.
    NoImage,
}

impl Fate {
    /// Six of ten fail.
    fn of(number: usize) -> Self {
        match number % AT_A_TIME {
            0 | 1 => Self::PluginFails,
            2 => Self::MonitorKilled,
            3 => Self::GuestPanics,
            4 | 5 => Self::NoImage,
            6 | 7 => Self::Removed,
            _ => Self::Ends,
        }
    }
}

/// Whoever makes the calls of one pod.
struct Kubelet {
    client: Client,
    config: PodSandboxConfig,
    container: ContainerConfig,
    fate: Fate,
    number: usize,
    /// Where the pods' run folders are.
    run_folders: PathBuf,
    /// For every call.
    within: Duration,
    scale: u32,
}

fn many(case: &Case) -> Result<()> {
    let pods = match std::env::var(PODS_VARIABLE) {
        Ok(number) => number
            .parse()
            .with_context(|| format!("{PODS_VARIABLE}={number} is no number"))?,
        Err(_not_set) => USUAL_PODS,
    };
    let daemon = Daemon::start(case)?;
    install_failing_plugin(case)?;
    let mut waiting = (0..pods)
        .map(|number| Kubelet::new(&daemon, number))
        .collect::<Result<Vec<_>>>()?;
    waiting.reverse();
    let rounds = u32::try_from(pods.div_ceil(AT_A_TIME)).context("a small number")?;
    let within = case.patience.stretch(deadlines::LONG_RUN) * rounds;
    let failures = daemon.run_within(within, async |_client| {
        let (mut lives, mut failures) = (JoinSet::new(), Vec::new());
        loop {
            while lives.len() < AT_A_TIME
                && let Some(kubelet) = waiting.pop()
            {
                lives.spawn(kubelet.whole_life());
            }
            match lives.join_next().await {
                None => return Ok(failures),
                Some(ended) => failures.extend(ended?.err()),
            }
        }
    })?;
    let said: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
    ensure!(said.is_empty(), "{said:#?}; log: {}", daemon.log());
    nothing_known(case, &daemon)
}

/// Neither sandboxes, nor leases, nor run folders, nor records. The rest is looked for after every test.
pub(crate) fn nothing_known(case: &Case, daemon: &Daemon<'_>) -> Result<()> {
    let listed = daemon.sandboxes()?;
    ensure!(listed.is_empty(), "{listed:?}");
    for folder in [
        "run/pods",
        "daemon/pods",
        "daemon/network/attachments",
        "run/netns",
    ] {
        let left = case.folder().join(folder);
        let left: Vec<_> = fs::read_dir(&left)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        ensure!(left.is_empty(), "in {folder}: {left:?}");
    }
    let leases = case.network_folder().join(LEASES).join("e2e");
    for entry in fs::read_dir(&leases).context("list the leases")? {
        let name = entry?.file_name();
        let lease = name.to_string_lossy().parse::<std::net::IpAddr>().is_ok();
        ensure!(!lease, "the address {name:?} is still leased");
    }
    Ok(())
}

/// A plugin of the same name as the real one and found before it, which fails for pods of a name.
fn install_failing_plugin(case: &Case) -> Result<()> {
    let plugin = case.network_folder().join(OWN_PLUGINS).join("ptp");
    let script = "#!/bin/sh\n\
        case \"$CNI_COMMAND $CNI_ARGS\" in \"ADD \"*K8S_POD_NAME=PluginFails*)\n\
        echo '{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"no address today\"}'; exit 1;; esac\n\
        exec /usr/lib/cni/ptp\n";
    fs::write(&plugin, script).context("write the failing plugin")?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

impl Kubelet {
    fn new(daemon: &Daemon<'_>, number: usize) -> Result<Self> {
        let fate = Fate::of(number);
        let name = format!("{fate:?}-{number}");
        let mut container = daemon.script(&name, &script(fate, number));
        let mut config = daemon.sandbox_config(&name)?;
        match fate {
            // vm.panic_on_oom 2: where the kernel would kill in a cgroup, it panics (kernel documentation, admin-guide/sysctl/vm).
            Fate::GuestPanics => {
                container.linux = Some(privileged_in_little_memory());
                let linux = config.linux.get_or_insert_default();
                linux.security_context.get_or_insert_default().privileged = true;
            }
            Fate::NoImage => {
                container.image = Some(ImageSpec {
                    image: "127.0.0.1:1/nowhere/at-all:1".to_owned(),
                    ..ImageSpec::default()
                });
            }
            _ => {}
        }
        Ok(Self {
            client: daemon.client(),
            config,
            container,
            fate,
            number,
            run_folders: daemon.case.folder().join("run/pods"),
            within: daemon.case.patience.stretch(deadlines::LONG_RUN),
            scale: daemon.case.patience.scale(),
        })
    }

    async fn whole_life(mut self) -> Result<()> {
        let what = format!("pod {} ({:?})", self.number, self.fate);
        self.live().await.context(what)
    }

    async fn live(&mut self) -> Result<()> {
        let mut answer = self.run().await;
        if let Err(status) = &answer
            && status.message().contains(WHILE_BOOTING)
        {
            eprintln!("tried again, as kubelet does: {status}");
            answer = self.run().await;
        }
        if self.fate == Fate::PluginFails {
            let Err(status) = answer else {
                bail!("a pod without its network runs");
            };
            ensure!(status.message().contains("no address today"), "{status}");
            return Ok(());
        }
        let sandbox = answer.context("run the sandbox")?;
        let lived = self.in_sandbox(&sandbox).await;
        let removed = self.remove(sandbox).await;
        lived.and(removed)
    }

    async fn run(&mut self) -> Result<String, Status> {
        let request = RunPodSandboxRequest {
            config: Some(self.config.clone()),
            runtime_handler: String::new(),
        };
        let answer = self.call(async |client| client.run_pod_sandbox(request).await);
        answer.await.map(|answer| answer.pod_sandbox_id)
    }

    async fn in_sandbox(&mut self, sandbox: &str) -> Result<()> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(self.container.clone()),
            sandbox_config: Some(self.config.clone()),
        };
        let created = self.call(async |client| client.create_container(request).await);
        let created = created.await;
        if self.fate == Fate::NoImage {
            let Err(status) = created else {
                bail!("a container without its image is made");
            };
            ensure!(status.message().contains("nowhere/at-all"), "{status}");
            return Ok(());
        }
        let container = created.context("create the container")?.container_id;
        let request = StartContainerRequest {
            container_id: container.clone(),
        };
        let started = self.call(async |client| client.start_container(request).await);
        started.await.context("start the container")?;
        match self.fate {
            Fate::Ends => {
                self.ended_with(&container, exit_code(self.number), "Error")
                    .await
            }
            Fate::GuestPanics => {
                self.ended_with(&container, 255, "ContainerStatusUnknown")
                    .await
            }
            Fate::MonitorKilled => {
                let folder = self.run_folders.join(sandbox);
                kill_process(monitor_of(&folder, self.scale).await?, Signal::KILL)
                    .context("kill the monitor")?;
                self.ended_with(&container, 255, "ContainerStatusUnknown")
                    .await
            }
            _ => Ok(()),
        }
    }

    async fn ended_with(&mut self, container: &str, code: i32, reason: &str) -> Result<()> {
        let status = ended(&mut self.client, container, self.within).await?;
        let told = (status.exit_code, status.reason.as_str());
        ensure!(told == (code, reason), "{status:?}");
        Ok(())
    }

    async fn remove(&mut self, sandbox: String) -> Result<()> {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: sandbox.clone(),
        };
        let stopped = self.call(async |client| client.stop_pod_sandbox(request).await);
        stopped.await.context("stop the sandbox")?;
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: sandbox,
        };
        let removed = self.call(async |client| client.remove_pod_sandbox(request).await);
        removed.await.context("remove the sandbox")?;
        Ok(())
    }

    /// A call that answers within its deadline, well or not.
    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Client) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let answer = tokio::time::timeout(self.within, call(&mut self.client)).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err(Status::unknown("no answer")));
        answer.map(Response::into_inner)
    }
}

fn script(fate: Fate, number: usize) -> String {
    match fate {
        Fate::Ends => format!("echo here; exit {}", exit_code(number)),
        Fate::GuestPanics => "echo 2 >/proc/sys/vm/panic_on_oom; exec tail /dev/zero".to_owned(),
        _ => "exec sleep 1000".to_owned(),
    }
}

/// Never 0.
fn exit_code(number: usize) -> i32 {
    i32::try_from(number % 100).unwrap_or(0) + 1
}

fn privileged_in_little_memory() -> LinuxContainerConfig {
    LinuxContainerConfig {
        resources: Some(LinuxContainerResources {
            memory_limit_in_bytes: 16 << 20,
            ..LinuxContainerResources::default()
        }),
        security_context: Some(LinuxContainerSecurityContext {
            privileged: true,
            ..LinuxContainerSecurityContext::default()
        }),
    }
}

/// The process that runs the VM of this run folder.
async fn monitor_of(folder: &Path, scale: u32) -> Result<Pid> {
    let monitor = Monitor::attach(folder, Deadlines::scaled(scale));
    let pid = monitor.await.context("ask the monitor")?.pid();
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    pid.context("a monitor has a process id")
}

/// Waits until a container has ended; how it is then.
async fn ended(client: &mut Client, container: &str, within: Duration) -> Result<ContainerStatus> {
    let look = async {
        loop {
            let request = ContainerStatusRequest {
                container_id: container.to_owned(),
                verbose: false,
            };
            let status = client.container_status(request).await?.into_inner().status;
            let status = status.context("a container's status")?;
            if status.state() == ContainerState::ContainerExited {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let status = tokio::time::timeout(within, look).await;
    status.context("the container has not ended")?
}

fn ten_outlive(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let mut containers = Vec::new();
    for number in 0..AT_A_TIME {
        let sandbox = daemon.run_sandbox(&format!("pod-{number}"))?;
        // The second half is over while no daemon lives; each has a code of its own.
        let script = format!("seq {LINES}; exit {}", exit_code(number));
        let container = daemon.run(&sandbox, &format!("main-{number}"), &script)?;
        containers.push((sandbox, container));
    }
    for _again in 0..2 {
        daemon.restart()?;
        let listed = daemon.sandboxes()?.len();
        ensure!(listed == AT_A_TIME, "{listed} are known");
    }
    let wanted: String = (1..=LINES).map(|line| format!("{line}\n")).collect();
    let wanted = Sha256::digest(wanted.as_bytes());
    for (number, (sandbox, container)) in containers.iter().enumerate() {
        let status = daemon.ended(container)?;
        ensure!(status.exit_code == exit_code(number), "{status:?}");
        let text = log_text(&daemon.logs().join(format!("main-{number}.log")), "stdout")?;
        ensure!(
            Sha256::digest(&text) == wanted,
            "the log of pod {number} has a gap or a line twice"
        );
        daemon.remove_sandbox(sandbox)?;
    }
    nothing_known(case, &daemon)
}

/// Room for a few records and scratch disks that hold nothing yet.
const SMALL_DISK: &str = "size=16m";

fn full_disk(case: &Case) -> Result<()> {
    let state = case.folder().join("daemon");
    fs::create_dir(&state).context("make the daemon's folder")?;
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", SMALL_DISK, "tmpfs"])
        .arg(&state)
        .status();
    ensure!(
        mounted.context("run mount")?.success(),
        "mount a small disk"
    );
    let result = on_small_disk(case, &state);
    let unmounted = Command::new("umount").arg(&state).status();
    let unmounted = unmounted.context("run umount")?.success();
    result?;
    ensure!(unmounted, "unmount the small disk");
    Ok(())
}

fn on_small_disk(case: &Case, state: &Path) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("before")?;
    let filler = state.join("filler");
    let full = fs::write(&filler, vec![0; 32 << 20]);
    ensure!(full.is_err(), "the disk is small");
    let request = RunPodSandboxRequest {
        config: Some(daemon.sandbox_config("while")?),
        runtime_handler: String::new(),
    };
    let answer = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    let Err(status) = answer else {
        bail!("a pod without a record runs");
    };
    ensure!(status.code() != Code::Unknown, "{status}");
    ensure!(status.message().contains("No space left"), "{status}");
    let listed = daemon.block_on(async |mut client| {
        let request = ListPodSandboxRequest::default();
        Ok(client.list_pod_sandbox(request).await?.into_inner().items)
    })?;
    ensure!(listed.len() == 1, "{listed:?}");
    // What runs can still be removed, which makes room.
    daemon.remove_sandbox(&sandbox)?;
    fs::remove_file(&filler).context("make room")?;
    let after = daemon.run_sandbox("while")?;
    daemon.remove_sandbox(&after)?;
    nothing_known(case, &daemon)
}
