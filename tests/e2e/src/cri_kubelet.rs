//! A pod as a standalone kubelet runs it: the calls that kubelet 1.36 makes for a static pod with an init container, probes, an emptyDir
//! in memory and a restart policy, in its order and with its configurations. What it does between the calls is done here as well.
//!
//! Main type: [`Kubelet`].

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerConfig, ContainerFilter, ContainerMetadata, ContainerState, ContainerStatus,
    DnsConfig, ImageSpec, KeyValue, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    ListContainersRequest, Mount, NamespaceMode, NamespaceOption, NetworkConfig, PodSandboxConfig,
    PodSandboxMetadata, RunPodSandboxRequest, RuntimeConfig, RuntimeConfigRequest, SecurityProfile,
    StatusRequest, UpdateRuntimeConfigRequest, VersionRequest,
};

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, log_text};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[("static_pod_lives_as_kubelet_has_it", static_pod)];

const UID: &str = "0d4d2b5c7ad8f8b1c7c0e0f8e3a1b2c3";
const NAMESPACE: &str = "kube-system";
const POD: &str = "web-node1";
const PORT: u16 = 8080;
/// What the init container leaves in the emptyDir, and a probe reads.
const READY: &str = "/scratch/ready";

/// Prepares the volume, and says something to whoever asks why it ended.
const INIT: &str = "mount | grep ' /scratch ' | grep -q tmpfs && echo prepared >/scratch/ready; \
                    echo all set >/dev/termination-log";

/// Serves whoever connects, until it is told to fail.
const MAIN: &str = "trap 'echo bye; exit 0' TERM; \
                    while ! test -e /scratch/fail; do echo hello | nc -l -p 8080 & wait $!; done; \
                    rm /scratch/fail; echo broken >/dev/termination-log; exit 7";

/// What the kubelet of a node keeps of one pod.
struct Kubelet<'a> {
    daemon: &'a Daemon<'a>,
    /// /var/lib/kubelet/pods/UID.
    folder: PathBuf,
    config: PodSandboxConfig,
    sandbox: String,
}

fn static_pod(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    asks_who_it_is(&daemon)?;
    let mut kubelet = Kubelet::new(&daemon)?;
    kubelet.make_volume()?;
    let result = kubelet.live();
    kubelet.remove_volume()?;
    result
}

/// What it asks before its first pod.
fn asks_who_it_is(daemon: &Daemon<'_>) -> Result<()> {
    let version = daemon.call(async |mut client| {
        let request = VersionRequest {
            version: "0.1.0".to_owned(),
        };
        client.version(request).await
    })?;
    ensure!(version.runtime_api_version == "v1", "{version:?}");
    let numbers = version.runtime_version.trim_start_matches('v').split('.');
    let numbers: Vec<_> = numbers.map(str::parse::<u32>).collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(Result::is_ok),
        "{version:?}"
    );
    for pod_cidr in ["", "10.1.2.0/24"] {
        let network_config = NetworkConfig {
            pod_cidr: pod_cidr.to_owned(),
        };
        let request = UpdateRuntimeConfigRequest {
            runtime_config: Some(RuntimeConfig {
                network_config: Some(network_config),
            }),
        };
        daemon.call(async |mut client| client.update_runtime_config(request).await)?;
    }
    let status = daemon.call(async |mut client| {
        let request = StatusRequest { verbose: true };
        client.status(request).await
    })?;
    let conditions = status.status.context("a status")?.conditions;
    let conditions = conditions.iter().map(|is| (is.r#type.as_str(), is.status));
    let conditions: Vec<_> = conditions.collect();
    ensure!(
        conditions == [("RuntimeReady", true), ("NetworkReady", true)],
        "{conditions:?}"
    );
    let handlers = status.runtime_handlers.iter();
    let handlers: Vec<_> = handlers.map(|handler| handler.name.as_str()).collect();
    ensure!(handlers.contains(&""), "{handlers:?}");
    let features = status.features.context("features")?;
    ensure!(features.supplemental_groups_policy, "{features:?}");
    let config = status.info.get("config").context("the configuration")?;
    ensure!(config.contains("runtime_handlers"), "{config}");
    let config =
        daemon.call(async |mut client| client.runtime_config(RuntimeConfigRequest {}).await)?;
    ensure!(config.linux.is_some(), "{config:?}");
    Ok(())
}

impl<'a> Kubelet<'a> {
    fn new(daemon: &'a Daemon<'a>) -> Result<Self> {
        let folder = daemon.case.folder().join("kubelet/pods").join(UID);
        let logs = daemon.case.folder().join("log/pods");
        let logs = logs.join(format!("{NAMESPACE}_{POD}_{UID}"));
        fs::create_dir_all(&logs).context("make the folder of the pod's logs")?;
        fs::create_dir_all(folder.join("volumes")).context("make the pod's folder")?;
        let hosts = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n";
        fs::write(folder.join("etc-hosts"), hosts).context("write etc-hosts")?;
        Ok(Self {
            daemon,
            config: sandbox_config(&logs),
            folder,
            sandbox: String::new(),
        })
    }

    /// An emptyDir of medium Memory, with a sizeLimit.
    fn make_volume(&self) -> Result<()> {
        let volume = self.volume();
        fs::create_dir_all(&volume).context("make the emptyDir's folder")?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs"])
            .arg(&volume)
            .status();
        ensure!(
            mounted.context("run mount")?.success(),
            "mount the emptyDir"
        );
        Ok(())
    }

    fn remove_volume(&self) -> Result<()> {
        let unmounted = Command::new("umount").arg(self.volume()).status();
        ensure!(
            unmounted.context("run umount")?.success(),
            "unmount the emptyDir"
        );
        Ok(())
    }

    fn volume(&self) -> PathBuf {
        self.folder.join("volumes/kubernetes.io~empty-dir/work")
    }

    fn live(&mut self) -> Result<()> {
        self.sandbox = self.run_sandbox()?;
        let init = self.start("init", 0, INIT)?;
        let status = self.ended(&init)?;
        ensure!(
            (status.exit_code, status.reason.as_str()) == (0, "Completed"),
            "{status:?}"
        );
        self.said_at_the_end(&status, "all set\n")?;
        let main = self.start("main", 0, MAIN)?;
        self.is_probed(&main)?;
        self.daemon.exec(&main, "touch /scratch/fail", 10)?;
        self.connect()?;
        let status = self.ended(&main)?;
        ensure!(
            (status.exit_code, status.reason.as_str()) == (7, "Error"),
            "{status:?}"
        );
        self.said_at_the_end(&status, "broken\n")?;
        // restartPolicy: it is made again in the same sandbox, and the one before stays listed until it is garbage.
        let again = self.start("main", 1, MAIN)?;
        self.is_probed(&again)?;
        ensure!(self.containers()? == 3, "kubelet counts restarts by them");
        self.daemon.remove(&main)?;
        self.is_removed(&again)
    }

    fn run_sandbox(&self) -> Result<String> {
        let request = RunPodSandboxRequest {
            config: Some(self.config.clone()),
            runtime_handler: String::new(),
        };
        let answer = self
            .daemon
            .call(async |mut client| client.run_pod_sandbox(request).await);
        let answer = answer.with_context(|| format!("log: {}", self.daemon.log()))?;
        let status = self.daemon.sandbox_status(&answer.pod_sandbox_id)?;
        ensure!(status.annotations == self.config.annotations, "{status:?}");
        let linux = status.linux.and_then(|linux| linux.namespaces);
        let options = linux.and_then(|namespaces| namespaces.options);
        ensure!(
            options == Some(namespaces()),
            "kubelet makes it anew where these are others: {options:?}"
        );
        ensure!(
            status.network.is_some_and(|network| !network.ip.is_empty()),
            "it has an IP"
        );
        Ok(answer.pod_sandbox_id)
    }

    fn start(&self, name: &str, attempt: u32, script: &str) -> Result<String> {
        let config = self.container_config(name, attempt, script)?;
        let created = self.daemon.create(&self.sandbox, config);
        let id = created.with_context(|| format!("log: {}", self.daemon.log()))?;
        self.daemon
            .start_container(&id)
            .with_context(|| format!("start {name}"))?;
        Ok(id)
    }

    fn ended(&self, id: &str) -> Result<ContainerStatus> {
        self.daemon.ended(id)
    }

    /// As kubelet finds it: through the mount of the termination log in the status.
    fn said_at_the_end(&self, status: &ContainerStatus, wanted: &str) -> Result<()> {
        let mut mounts = status.mounts.iter();
        let log = mounts.find(|mount| mount.container_path == "/dev/termination-log");
        let log = &log.context("the status has the mount")?.host_path;
        let said = fs::read_to_string(log).context("read the termination message")?;
        ensure!(said == wanted, "{said:?}");
        Ok(())
    }

    /// A readiness probe by exec, a failing one, and a liveness probe by TCP.
    fn is_probed(&self, id: &str) -> Result<()> {
        let good = self.daemon.exec(id, &format!("cat {READY}"), 1)?;
        ensure!(
            good.exit_code == 0 && good.stdout == b"prepared\n",
            "{good:?}"
        );
        let bad = self.daemon.exec(id, "test -e /nowhere", 1)?;
        ensure!(bad.exit_code == 1, "{bad:?}");
        self.connect()
    }

    fn connect(&self) -> Result<()> {
        let network = self.daemon.sandbox_status(&self.sandbox)?.network;
        let ip = network.context("it has a network")?.ip.parse()?;
        let patience = self.daemon.case.patience.stretch(deadlines::STEP);
        let deadline = Instant::now() + patience;
        loop {
            let mut said = String::new();
            let heard = hear(&SocketAddr::new(ip, PORT), patience, &mut said);
            if heard.is_ok() && said == "hello\n" {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "nobody says hello: {heard:?}");
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    fn containers(&self) -> Result<usize> {
        let request = ListContainersRequest {
            filter: Some(ContainerFilter {
                pod_sandbox_id: self.sandbox.clone(),
                ..ContainerFilter::default()
            }),
        };
        let answer = self
            .daemon
            .call(async |mut client| client.list_containers(request).await)?;
        Ok(answer.containers.len())
    }

    /// Its pod's manifest is gone: it is stopped with grace, and what is left of it collected.
    fn is_removed(&self, running: &str) -> Result<()> {
        self.daemon.stop(running, 30)?;
        let status = self.daemon.status(running)?;
        ensure!(
            status.state() == ContainerState::ContainerExited && status.exit_code == 0,
            "{status:?}"
        );
        let log = Path::new(&self.config.log_directory).join("main/1.log");
        let text = log_text(&log, "stdout")?;
        ensure!(
            text.ends_with(b"bye\n"),
            "{}",
            String::from_utf8_lossy(&text)
        );
        self.daemon.stop_sandbox(&self.sandbox)?;
        self.daemon.remove(running)?;
        self.daemon.remove_sandbox(&self.sandbox)?;
        ensure!(self.containers()? == 0, "nothing is listed");
        Ok(())
    }

    fn container_config(&self, name: &str, attempt: u32, script: &str) -> Result<ContainerConfig> {
        let logs = Path::new(&self.config.log_directory).join(name);
        fs::create_dir_all(&logs).context("make the folder of the container's logs")?;
        let own = self.folder.join("containers").join(name);
        fs::create_dir_all(&own).context("make the container's folder")?;
        let termination = own.join(format!("{attempt:08x}"));
        fs::write(&termination, "").context("make the termination log")?;
        let mount = |host: &Path, container: &str| Mount {
            host_path: host.to_string_lossy().into_owned(),
            container_path: container.to_owned(),
            ..Mount::default()
        };
        Ok(ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt,
            }),
            image: Some(ImageSpec {
                image: test_image::NAME.to_owned(),
                user_specified_image: test_image::NAME.to_owned(),
                ..ImageSpec::default()
            }),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            envs: vec![KeyValue {
                key: "KUBERNETES_SERVICE_PORT".to_owned(),
                value: b"443".to_vec(),
            }],
            mounts: vec![
                mount(&self.volume(), "/scratch"),
                mount(&self.folder.join("etc-hosts"), "/etc/hosts"),
                mount(&termination, "/dev/termination-log"),
            ],
            labels: labels(Some(name)),
            annotations: annotations(attempt),
            log_path: format!("{name}/{attempt}.log"),
            linux: Some(container_of_linux()),
            ..ContainerConfig::default()
        })
    }
}

/// All that is said to whoever connects.
fn hear(address: &SocketAddr, patience: Duration, said: &mut String) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.read_to_string(said)
}

fn labels(container: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("io.kubernetes.pod.name".to_owned(), POD.to_owned()),
        (
            "io.kubernetes.pod.namespace".to_owned(),
            NAMESPACE.to_owned(),
        ),
        ("io.kubernetes.pod.uid".to_owned(), UID.to_owned()),
    ]);
    if let Some(name) = container {
        labels.insert("io.kubernetes.container.name".to_owned(), name.to_owned());
    }
    labels
}

fn annotations(attempt: u32) -> BTreeMap<String, String> {
    let of = |key: &str, value: String| (format!("io.kubernetes.container.{key}"), value);
    BTreeMap::from([
        of("hash", "b1c7c0e0".to_owned()),
        of("restartCount", attempt.to_string()),
        of("terminationMessagePath", "/dev/termination-log".to_owned()),
        of("terminationMessagePolicy", "File".to_owned()),
        (
            "io.kubernetes.pod.terminationGracePeriod".to_owned(),
            "30".to_owned(),
        ),
    ])
}

fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Pod.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
        ..NamespaceOption::default()
    }
}

fn sandbox_config(logs: &Path) -> PodSandboxConfig {
    let annotations = BTreeMap::from([
        ("kubernetes.io/config.hash".to_owned(), UID.to_owned()),
        ("kubernetes.io/config.source".to_owned(), "file".to_owned()),
    ]);
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: POD.to_owned(),
            uid: UID.to_owned(),
            namespace: NAMESPACE.to_owned(),
            attempt: 0,
        }),
        hostname: POD.to_owned(),
        log_directory: logs.to_string_lossy().into_owned(),
        dns_config: Some(DnsConfig {
            servers: vec!["192.0.2.53".to_owned()],
            searches: vec!["cluster.local".to_owned()],
            options: vec!["ndots:5".to_owned()],
        }),
        labels: labels(None),
        annotations,
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: format!("/kubepods/besteffort/pod{UID}"),
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces()),
                seccomp: Some(SecurityProfile::default()),
                ..LinuxSandboxSecurityContext::default()
            }),
            overhead: Some(LinuxContainerResources::default()),
            resources: Some(LinuxContainerResources {
                cpu_period: 100_000,
                cpu_shares: 2,
                ..LinuxContainerResources::default()
            }),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

/// A best-effort container's.
fn container_of_linux() -> LinuxContainerConfig {
    let masked = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"];
    let read_only = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];
    LinuxContainerConfig {
        resources: Some(LinuxContainerResources {
            cpu_period: 100_000,
            cpu_shares: 2,
            oom_score_adj: 1000,
            unified: BTreeMap::from([("memory.oom.group".to_owned(), "1".to_owned())]),
            ..LinuxContainerResources::default()
        }),
        security_context: Some(LinuxContainerSecurityContext {
            namespace_options: Some(namespaces()),
            masked_paths: masked.map(str::to_owned).into(),
            readonly_paths: read_only.map(str::to_owned).into(),
            seccomp: Some(SecurityProfile {
                profile_type: cri::v1::security_profile::ProfileType::Unconfined.into(),
                ..SecurityProfile::default()
            }),
            ..LinuxContainerSecurityContext::default()
        }),
    }
}
