//! Pods on the node itself: what they share with it, what they have of their own, and that nothing of them is left.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerConfig, ContainerStatsRequest, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxSandboxSecurityContext, Mount, MountPropagation,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxState,
};
use rustix::process::{Pid, Signal};
use toml::{Table, Value};
use tonic::Code;

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::{Daemon, expect_failure, log_text};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::mounting::mount;

pub(crate) const TESTS: &[Test] = &[
    ("pod_is_in_the_nodes_namespaces_beside_a_vm", shared),
    ("pod_of_a_class_has_namespaces_of_its_own", own),
    ("mounts_propagate_as_they_say", propagation),
    (
        "containers_outlive_the_daemon_and_end_with_the_agent",
        lives,
    ),
    ("switched_off_pods_are_refused", switched_off),
];

const AGENT: &str = "cofferdam-agent";
const CONTENT: &str = "of the node\n";

/// A file system for writable layers: the test host's root is an overlay, on which no other can be.
pub(crate) struct Layers(PathBuf);

impl Layers {
    pub(crate) fn mount(case: &Case) -> Result<Self> {
        let folder = case.folder().join("daemon/layers");
        fs::create_dir_all(&folder)?;
        mount_tmpfs(&folder)?;
        Ok(Self(folder))
    }

    fn is_empty(&self) -> Result<bool> {
        Ok(fs::read_dir(&self.0)?.next().is_none())
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).output().ok();
    }
}

fn mount_tmpfs(at: &Path) -> Result<()> {
    let tmpfs = ["-t", "tmpfs", "tmpfs"];
    let mounted = Command::new("mount").args(tmpfs).arg(at).status()?;
    ensure!(mounted.success(), "mount a tmpfs on {}", at.display());
    Ok(())
}

fn node_of(options: [bool; 3]) -> NamespaceOption {
    let mode = |node| match node {
        true => NamespaceMode::Node,
        false => NamespaceMode::Pod,
    };
    let [network, pid, ipc] = options.map(mode);
    NamespaceOption {
        network: network.into(),
        pid: pid.into(),
        ipc: ipc.into(),
        ..NamespaceOption::default()
    }
}

/// As kubelet asks for hostNetwork, hostPID and hostIPC.
fn sandbox(daemon: &Daemon<'_>, name: &str, node: [bool; 3]) -> Result<PodSandboxConfig> {
    let mut config = daemon.sandbox_config(name)?;
    if let Some(linux) = &mut config.linux {
        linux.security_context = Some(LinuxSandboxSecurityContext {
            namespace_options: Some(node_of(node)),
            privileged: true,
            ..LinuxSandboxSecurityContext::default()
        });
    }
    Ok(config)
}

fn container(
    daemon: &Daemon<'_>,
    (name, script): (&str, &str),
    node: [bool; 3],
    privileged: bool,
) -> ContainerConfig {
    ContainerConfig {
        linux: Some(LinuxContainerConfig {
            security_context: Some(LinuxContainerSecurityContext {
                namespace_options: Some(node_of(node)),
                privileged,
                ..LinuxContainerSecurityContext::default()
            }),
            resources: Some(LinuxContainerResources {
                memory_limit_in_bytes: 64 << 20,
                ..LinuxContainerResources::default()
            }),
        }),
        ..daemon.script(name, script)
    }
}

fn run(daemon: &Daemon<'_>, sandbox: &str, config: ContainerConfig) -> Result<String> {
    let id = daemon.create(sandbox, config);
    let id = id.with_context(|| format!("create it; log: {}", daemon.log()))?;
    let started = daemon.start_container(&id);
    started.with_context(|| format!("start it; log: {}", daemon.log()))?;
    Ok(id)
}

fn said(daemon: &Daemon<'_>, id: &str, script: &str) -> Result<String> {
    let answer = daemon.exec(id, script, 60)?;
    ensure!(answer.exit_code == 0, "{script}: {answer:?}");
    Ok(String::from_utf8(answer.stdout)?.trim().to_owned())
}

fn until(case: &Case, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + case.patience.stretch(deadlines::LONG_RUN);
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

const ALL: [bool; 3] = [true; 3];

fn shared(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let layers = Layers::mount(case)?;
    let vm = daemon.run_sandbox("vm")?;
    let pod = daemon.run_configured(sandbox(&daemon, "node", ALL)?, "");
    let pod = pod.with_context(|| format!("run it; log: {}", daemon.log()))?;
    let port = free_port()?;
    let script = format!("while true; do echo served | nc -l -p {port}; done");
    let id = run(
        &daemon,
        &pod,
        container(&daemon, ("main", &script), ALL, false),
    )?;
    until(case, "the port answers", || {
        Ok(answer(port).is_some_and(|text| text == "served\n"))
    })?;
    let comm = fs::read_to_string("/proc/1/comm")?;
    ensure!(said(&daemon, &id, "cat /proc/1/comm")? == comm.trim());
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    ensure!(said(&daemon, &id, "hostname; cat /etc/hostname")? == format!("{name}{}", name.trim()));
    let segment = Segment::make()?;
    let seen = said(&daemon, &id, "cat /proc/sysvipc/shm")?;
    ensure!(seen.lines().any(|line| segment.is(line)), "{seen}");
    // Its image, its own layer, and no other.
    ensure!(said(&daemon, &id, "cat /hello; echo x >/new; cat /new")? == "from the upper layer\nx");
    ensure!(!Path::new("/new").exists() && !layers.is_empty()?);
    let status = daemon.sandbox_status(&pod)?;
    ensure!(status.network.is_none_or(|network| network.ip.is_empty()));
    let inside = daemon.run(&vm, "main", "sleep 1000")?;
    ensure!(said(&daemon, &inside, "cat /proc/sysvipc/shm | wc -l")? == "1");
    daemon.remove_sandbox(&pod)?;
    ensure!(answer(port).is_none(), "the server is gone");
    ensure!(layers.is_empty()?, "its layer is gone");
    ensure!(said(&daemon, &inside, "echo on")? == "on");
    daemon.remove_sandbox(&vm)?;
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn answer(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Shared memory of the node's; gone when dropped.
struct Segment(String);

impl Segment {
    fn make() -> Result<Self> {
        let output = Command::new("ipcmk").args(["-M", "4096"]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let id = text.rsplit(' ').next().context("its id")?.trim().to_owned();
        ensure!(output.status.success() && !id.is_empty(), "{text}");
        Ok(Self(id))
    }

    /// The second column of /proc/sysvipc/shm.
    fn is(&self, line: &str) -> bool {
        line.split_whitespace().nth(1) == Some(&self.0)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        Command::new("ipcrm").args(["-m", &self.0]).output().ok();
    }
}

fn own(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let layers = Layers::mount(case)?;
    let mut config = sandbox(&daemon, "class", [false; 3])?;
    if let Some(linux) = &mut config.linux {
        let sysctls = [
            ("kernel.shm_rmid_forced", "1"),
            ("net.ipv4.ip_default_ttl", "33"),
        ];
        linux.sysctls = sysctls
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    }
    let before = fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl")?;
    let pod = daemon.run_configured(config, "host");
    let pod = pod.with_context(|| format!("run it; log: {}", daemon.log()))?;
    let ip = daemon
        .sandbox_status(&pod)?
        .network
        .context("its network")?
        .ip;
    let none = [false; 3];
    let id = run(
        &daemon,
        &pod,
        container(&daemon, ("main", "exec sleep 1000"), none, false),
    )?;
    ensure!(said(&daemon, &id, "hostname")? == "class");
    let addresses = said(&daemon, &id, "ifconfig eth0")?;
    ensure!(addresses.contains(&ip), "{ip} in {addresses}");
    let sysctls = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_default_ttl";
    ensure!(said(&daemon, &id, sysctls)? == "1\n33");
    ensure!(fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl")? == before);
    let segment = Segment::make()?;
    let seen = said(&daemon, &id, "cat /proc/sysvipc/shm")?;
    ensure!(!seen.lines().any(|line| segment.is(line)), "{seen}");
    // Its pod's processes, not the node's; and no device of the node's.
    ensure!(said(&daemon, &id, "cat /proc/1/comm")? != fs::read_to_string("/proc/1/comm")?.trim());
    let devices = said(&daemon, &id, "ls /dev | grep -c loop || true")?;
    ensure!(devices == "0", "{devices}");
    // More of the node than its sandbox: refused by name.
    for node in [
        [true, false, false],
        [false, true, false],
        [false, false, true],
    ] {
        let more = container(&daemon, ("more", "true"), node, false);
        let refused = daemon.create(&pod, more);
        expect_failure(
            refused,
            Code::InvalidArgument,
            "either both are NODE or none",
        )?;
    }
    let host = rustix::system::uname();
    ensure!(
        host.nodename().to_string_lossy() != "class",
        "the node keeps its name"
    );
    daemon.remove_sandbox(&pod)?;
    ensure!(layers.is_empty()?, "its layer is gone");
    Ok(())
}

fn propagation(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let _layers = Layers::mount(case)?;
    let folder = |name: &str| {
        let folder = case.folder().join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };
    let (both, receives, private) = (folder("both")?, folder("receives")?, folder("private")?);
    let log = case.folder().join("log");
    fs::write(&log, "")?;
    let socket = case.folder().join("a.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
    fs::create_dir(both.join("hosts"))?;
    mount_tmpfs(&both.join("hosts"))?;
    let result = propagate(&daemon, (&both, &receives, &private), (&log, &socket));
    for left in [
        both.join("hosts"),
        receives.join("later"),
        private.join("later"),
    ] {
        Command::new("umount").arg(left).output().ok();
    }
    result
}

fn propagate(
    daemon: &Daemon<'_>,
    (both, receives, private): (&Path, &Path, &Path),
    (log, socket): (&Path, &Path),
) -> Result<()> {
    let node = [true, false, false];
    let pod = daemon.run_configured(sandbox(daemon, "mounts", node)?, "");
    let pod = pod.with_context(|| format!("run it; log: {}", daemon.log()))?;
    let with = |propagation: MountPropagation, mount: Mount| Mount {
        propagation: propagation.into(),
        ..mount
    };
    let missing = private.join("made/for it");
    let mounts = vec![
        with(
            MountPropagation::PropagationBidirectional,
            mount("/both", both),
        ),
        with(
            MountPropagation::PropagationHostToContainer,
            mount("/receives", receives),
        ),
        mount("/private", private),
        Mount {
            readonly: true,
            ..mount("/ro", private)
        },
        mount("/dev/termination-log", log),
        mount("/run/a.sock", socket),
        mount("/missing", &missing),
    ];
    let script =
        "mkdir /both/inner && mount -t tmpfs tmpfs /both/inner && echo up; exec sleep 1000";
    let config = ContainerConfig {
        mounts,
        ..container(daemon, ("main", script), node, true)
    };
    let id = run(daemon, &pod, config)?;
    let case = daemon.case;
    let inner = both.join("inner");
    until(case, "the mount reaches the node", || is_mounted(&inner))?;
    for folder in [receives, private] {
        let later = folder.join("later");
        fs::create_dir(&later)?;
        mount_tmpfs(&later)?;
        fs::write(later.join("file"), CONTENT)?;
    }
    ensure!(said(daemon, &id, "cat /receives/later/file")? == CONTENT.trim());
    ensure!(said(daemon, &id, "ls /private/later | wc -l")? == "0");
    ensure!(said(daemon, &id, "touch /ro/x 2>/dev/null || echo no")? == "no");
    ensure!(said(daemon, &id, "test -S /run/a.sock && echo yes")? == "yes");
    said(
        daemon,
        &id,
        "echo last >/dev/termination-log; touch /missing/x",
    )?;
    ensure!(fs::read_to_string(log)? == "last\n" && missing.join("x").exists());
    // In the container's view of the node it is gone, so it is on the node.
    said(daemon, &id, "umount /both/inner")?;
    ensure!(!is_mounted(&inner)?, "what the container unmounts is gone");
    daemon.stop(&id, 0)?;
    daemon.remove(&id)?;
    ensure!(
        is_mounted(&both.join("hosts"))?,
        "the node's own mount stays"
    );
    daemon.remove_sandbox(&pod)?;
    ensure!(
        is_mounted(&both.join("hosts"))?,
        "the node's own mount stays"
    );
    Ok(())
}

fn is_mounted(path: &Path) -> Result<bool> {
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev());
    let parent = path.parent().context("a parent")?;
    Ok(path.exists() && device(path)? != device(parent)?)
}

fn lives(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let layers = Layers::mount(case)?;
    let node = [true, false, false];
    let pod = daemon.run_configured(sandbox(&daemon, "lives", node)?, "");
    let pod = pod.with_context(|| format!("run it; log: {}", daemon.log()))?;
    let ends = run(
        &daemon,
        &pod,
        container(&daemon, ("ends", "echo out; exit 7"), node, false),
    )?;
    let status = daemon.ended(&ends)?;
    ensure!(status.exit_code == 7, "{status:?}");
    let log = log_text(&daemon.logs().join("ends.log"), "stdout")?;
    ensure!(log == b"out\n", "{log:?}");
    daemon.remove(&ends)?;
    let script = "echo before; until [ -e /go ]; do sleep 0.1; done; echo after; exec sleep 1000";
    let id = run(
        &daemon,
        &pod,
        container(&daemon, ("main", script), node, false),
    )?;
    daemon.restart()?;
    let status = daemon.sandbox_status(&pod)?;
    ensure!(
        status.state() == PodSandboxState::SandboxReady,
        "{status:?}"
    );
    said(&daemon, &id, "touch /go")?;
    let log = daemon.logs().join("main.log");
    until(case, "the log goes on", || {
        Ok(log_text(&log, "stdout")? == b"before\nafter\n")
    })?;
    let request = ContainerStatsRequest {
        container_id: id.clone(),
    };
    let stats = daemon.call(async |mut client| client.container_stats(request).await)?;
    let stats = stats.stats.context("its statistics")?;
    let memory = stats.memory.context("its memory")?;
    let limit = memory.available_bytes.context("a limit's rest")?.value;
    ensure!(limit > 0 && limit <= 64 << 20, "{memory:?}");
    kill_agent()?;
    let status = daemon.ended(&id)?;
    ensure!(status.exit_code == 255, "{status:?}");
    let cause = "its agent on the node ended";
    ensure!(status.message.contains(cause), "{status:?}");
    until(case, "it is not ready", || {
        let status = daemon.sandbox_status(&pod)?;
        Ok(status.state() == PodSandboxState::SandboxNotready)
    })?;
    ensure!(layers.is_empty()?, "its layer is gone before it is removed");
    ensure!(case.run_folders().is_empty(), "and its run folder");
    daemon.remove_sandbox(&pod)?;
    // And while nobody looks.
    let pod = daemon.run_configured(sandbox(&daemon, "lives", node)?, "");
    let pod = pod.with_context(|| format!("run it again; log: {}", daemon.log()))?;
    let id = run(
        &daemon,
        &pod,
        container(&daemon, ("main", "exec sleep 1000"), node, false),
    )?;
    daemon.kill()?;
    kill_agent()?;
    daemon.resume()?;
    // The agent may be killed and not dead yet when the daemon looks.
    let status = daemon.ended(&id)?;
    ensure!(status.message.contains(cause), "{status:?}");
    until(case, "nothing is left", || {
        Ok(layers.is_empty()? && case.run_folders().is_empty())
    })?;
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

/// Tests run one at a time, so there is no other.
fn kill_agent() -> Result<()> {
    let called = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == AGENT)
    };
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // The first process of a pod's PID namespace is the same program: the agent is the oldest.
    let pid = pids.filter(called).min().and_then(Pid::from_raw);
    let pid = pid.context("an agent runs")?;
    rustix::process::kill_process(pid, Signal::KILL).context("kill the agent")
}

fn switched_off(case: &Case) -> Result<()> {
    let off = Table::from_iter([("enabled".to_owned(), Value::Boolean(false))]);
    let over = Table::from_iter([("host_pods".to_owned(), Value::Table(off))]);
    let daemon = Daemon::start_with(case, Images::Shared, over)?;
    let check = |node: [bool; 3], handler: &str, words: &str| {
        let refused = daemon.run_configured(sandbox(&daemon, "off", node)?, handler);
        expect_failure(refused, Code::FailedPrecondition, words)
    };
    check([true, false, false], "", "hostNetwork")?;
    check([false, true, false], "cofferdam", "hostPID")?;
    check([false, false, true], "host", "hostIPC")?;
    check([false; 3], "host", "host_pods.enabled")?;
    let unknown = daemon.run_configured(sandbox(&daemon, "off", [false; 3])?, "kata");
    expect_failure(unknown, Code::InvalidArgument, "there are: cofferdam, host")?;
    ensure!(daemon.sandboxes()?.is_empty() && case.run_folders().is_empty());
    Ok(())
}
