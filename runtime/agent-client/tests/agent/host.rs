//! An agent on this machine for one test: its process, its sockets, and a container's root made of busybox.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use agent_client::{
    Agent, AgentError, Connector, ContainerDisk, ContainerStart, Event, EventStream, FirstProcess,
    Output, OutputStream, ProcessEnd, ProcessExec, ProcessRef, Root, Stdio, VolumeMount,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// For every call of a test: generous, for nested hosts.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// An agent. Dropping it ends it and all that it started.
pub(crate) struct Host {
    folder: TempDir,
    child: Child,
    pub(crate) agent: Agent,
    cgroup: String,
}

/// What a test wants of a container.
pub(crate) struct Wanted {
    pub(crate) spec: Value,
    pub(crate) stdio: Stdio,
    pub(crate) writable_bytes: u64,
    pub(crate) share_pid_namespace: bool,
    pub(crate) target: String,
    pub(crate) mounts: Vec<VolumeMount>,
    pub(crate) disks: Vec<ContainerDisk>,
}

/// What a finished process left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) end: ProcessEnd,
    pub(crate) out_of_memory: bool,
}

impl Host {
    /// None, and a printed skip, when this machine lacks something.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// With more words on its command line.
    pub(crate) async fn start_with(words: &[&str]) -> Option<Self> {
        if let Some(missing) = missing() {
            println!("SKIPPED: {missing}");
            return None;
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("/cofferdam-test-{}-{number}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        // The root of a user namespace has to get to its own root, as from a guest's /run.
        let passable = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        fs::set_permissions(folder.path(), passable).unwrap();
        make_root(&folder.path().join("image"));
        let path = |name: &str| folder.path().join(name).display().to_string();
        // Where the machine has the controllers in version 1, an empty version 2 tree is what there is.
        let script = "[ \"$(stat -fc %T /sys/fs/cgroup)\" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\"";
        let child = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(program())
            .args(["--no-init", "--listen", &format!("unix:{}", path("rpc"))])
            .args(["--stdio", &format!("unix:{}", path("stdio"))])
            .args(["--state", &path("state"), "--cgroup", &cgroup])
            .args(words)
            .spawn()
            .unwrap();
        let connector = Connector::Unix {
            rpc: path("rpc").into(),
            stdio: path("stdio").into(),
        };
        let agent = Agent::connect(connector, DEADLINE).await.unwrap();
        Some(Self {
            folder,
            child,
            agent,
            cgroup,
        })
    }

    /// A path of the test's own on the host.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> Root {
        Root::Directory {
            path: self.folder.path().join("image").display().to_string(),
        }
    }

    /// Makes this path of the image a link to an absolute path that does not exist, which is returned.
    pub(crate) fn link_in_image(&self, path: &str) -> PathBuf {
        let target = self.folder.path().join("outside");
        let link = self.folder.path().join("image").join(&path[1..]);
        symlink(&target, link).unwrap();
        target
    }

    pub(crate) async fn create(&self, id: &str, wanted: Wanted) -> Result<u32, AgentError> {
        self.first_process(id, wanted).await.map(|first| first.pid)
    }

    pub(crate) async fn first_process(
        &self,
        id: &str,
        wanted: Wanted,
    ) -> Result<FirstProcess, AgentError> {
        self.create_from(id, self.root(), wanted).await
    }

    pub(crate) async fn create_from(
        &self,
        id: &str,
        root: Root,
        wanted: Wanted,
    ) -> Result<FirstProcess, AgentError> {
        let container = ContainerStart {
            container_id: id.into(),
            root,
            writable_bytes: wanted.writable_bytes,
            oci_spec: serde_json::to_vec(&wanted.spec).unwrap(),
            stdio: wanted.stdio,
            share_pid_namespace: wanted.share_pid_namespace,
            target_container_id: wanted.target,
            ends_with_first_process: false,
            mounts: wanted.mounts,
            disks: wanted.disks,
        };
        self.agent.start_container(container, DEADLINE).await
    }

    pub(crate) async fn exec(
        &self,
        id: &str,
        exec: &str,
        process: Value,
        stdio: Stdio,
    ) -> Result<u32, AgentError> {
        let process_ref = ProcessRef {
            container_id: id.into(),
            exec_id: exec.into(),
        };
        let oci_process = serde_json::to_vec(&process).unwrap();
        let exec = ProcessExec {
            process: process_ref,
            oci_process,
            stdio,
        };
        self.agent.exec_process(exec, DEADLINE).await
    }

    /// Starts a container, reads all its output, waits for its end and removes it.
    pub(crate) async fn run(&self, wanted: Wanted) -> Finished {
        let id = "one";
        self.create(id, wanted).await.unwrap();
        let finished = self.finish(id, "").await;
        self.agent.remove_container(id, DEADLINE).await.unwrap();
        self.assert_nothing_left(id);
        finished
    }

    pub(crate) async fn finish(&self, id: &str, exec: &str) -> Finished {
        let process = ProcessRef {
            container_id: id.into(),
            exec_id: exec.into(),
        };
        let stdout = self
            .agent
            .open_output(&process, Output::Stdout, 0)
            .await
            .unwrap();
        let stdout = read_all(stdout).await;
        let stderr = match self.agent.open_output(&process, Output::Stderr, 0).await {
            Ok(stderr) => read_all(stderr).await,
            Err(AgentError::NotFound { .. }) => String::new(),
            Err(error) => panic!("{error}"),
        };
        let (end, out_of_memory) = self.end_of(&process).await;
        Finished {
            stdout,
            stderr,
            end,
            out_of_memory,
        }
    }

    pub(crate) async fn end_of(&self, wanted: &ProcessRef) -> (ProcessEnd, bool) {
        let mut events: EventStream = self.agent.events(0).await.unwrap();
        tokio::time::timeout(DEADLINE, next_end_of(&mut events, wanted))
            .await
            .expect("the process ends")
    }

    /// Folder, mounts and cgroup are gone. The mounts are in the agent's namespace, so the kernel is asked there.
    pub(crate) fn assert_nothing_left(&self, id: &str) {
        let pid = self.child.id();
        let state = self.folder.path().join("state").join(id);
        assert!(
            !Path::new(&format!("/proc/{pid}/root{}", state.display())).exists(),
            "{id}"
        );
        let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
        assert!(!mounts.contains(&state.display().to_string()), "{mounts}");
        let cgroup = format!("/proc/{pid}/root/sys/fs/cgroup{}/{id}", self.cgroup);
        assert!(!Path::new(&cgroup).exists(), "{cgroup}");
    }

    /// Where a volume's folder is, as this process sees it.
    pub(crate) fn volume(&self, id: &str) -> PathBuf {
        let state = self.folder.path().join("state/.volumes").join(id);
        let pid = self.child.id();
        format!("/proc/{pid}/root{}", state.display()).into()
    }

    /// The names of the cgroups below a container's.
    pub(crate) fn exec_cgroups(&self, id: &str) -> Vec<String> {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/root/sys/fs/cgroup{}/{id}", self.cgroup);
        let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect()
    }

    /// Whether limits of this controller can be tested here.
    pub(crate) fn has_controller(&self, name: &str) -> bool {
        let path = format!(
            "/proc/{}/root/sys/fs/cgroup/cgroup.controllers",
            self.child.id()
        );
        let has = fs::read_to_string(path)
            .unwrap()
            .split_whitespace()
            .any(|word| word == name);
        if !has {
            println!("SKIPPED: this machine's cgroup version 2 has no {name} controller");
        }
        has
    }

    /// Ends the agent, which leaves nothing of its own.
    pub(crate) async fn stop(mut self) {
        // Open, so that the agent's mount namespace can be asked after the agent's end.
        let cgroups =
            fs::File::open(format!("/proc/{}/root/sys/fs/cgroup", self.child.id())).unwrap();
        self.agent.shutdown(DEADLINE).await.unwrap();
        assert!(self.child.wait().unwrap().success());
        let below = format!(
            "/proc/self/fd/{}{}",
            std::os::fd::AsRawFd::as_raw_fd(&cgroups),
            self.cgroup
        );
        assert!(!Path::new(&below).exists(), "{}", self.cgroup);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After a failed test; the namespaces of its containers end with their first process, which the kill of the cgroup ends.
        let tree = format!(
            "/proc/{}/root/sys/fs/cgroup{}",
            self.child.id(),
            self.cgroup
        );
        drop(fs::write(Path::new(&tree).join("cgroup.kill"), "1"));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn next_end_of(events: &mut EventStream, wanted: &ProcessRef) -> (ProcessEnd, bool) {
    loop {
        match events.next().await.unwrap() {
            Event::ProcessExited {
                process,
                end,
                out_of_memory,
                ..
            } if process == *wanted => {
                return (end, out_of_memory);
            }
            _ => {}
        }
    }
}

/// A container that runs this with sh, in namespaces of its own.
pub(crate) fn shell(script: &str) -> Wanted {
    command(&["/bin/sh", "-c", script])
}

pub(crate) fn command(args: &[&str]) -> Wanted {
    Wanted {
        spec: spec(args),
        stdio: Stdio::default(),
        writable_bytes: 1 << 20,
        share_pid_namespace: false,
        target: String::new(),
        mounts: Vec::new(),
        disks: Vec::new(),
    }
}

pub(crate) fn process(args: &[&str]) -> Value {
    let caps = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/usr/bin:/bin", "GREETING=hello"],
        "cwd": "/",
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        "noNewPrivileges": true,
    })
}

fn spec(args: &[&str]) -> Value {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.2.0",
        "process": process(args),
        "root": {"path": "ignored"},
        "hostname": "inside",
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"},
            ],
            "maskedPaths": ["/proc/kcore", "/masked"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}

/// Writes all, then reads to the end.
pub(crate) async fn exchange(stream: &mut UnixStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut answer));
    read.await.expect("an end").unwrap();
    answer
}

pub(crate) async fn read_all(mut stream: OutputStream) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let read = async {
        loop {
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                return;
            }
            all.extend_from_slice(&buffer[..count]);
            stream.acknowledge(stream.offset()).await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, read)
        .await
        .expect("the output ends");
    String::from_utf8_lossy(&all).into_owned()
}

fn missing() -> Option<String> {
    if !Path::new("/bin/busybox").exists() {
        return Some("needs busybox-static (apt-get install busybox-static)".into());
    }
    if !program().exists() {
        return Some(format!(
            "needs {} (cargo build -p agentd)",
            program().display()
        ));
    }
    let namespaces = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "true"])
        .output();
    if !namespaces.is_ok_and(|output| output.status.success()) {
        return Some("needs root, for namespaces and mounts".into());
    }
    None
}

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent()
        .and_then(Path::parent)
        .unwrap()
        .join("cofferdam-agent")
}

fn make_root(root: &Path) {
    for folder in ["bin", "tmp", "etc", "masked", "locked"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root-home:/bin/sh\nuser:x:7:8::/user-home:/bin/sh\n",
    )
    .unwrap();
    fs::write(root.join("masked/secret"), "secret").unwrap();
    fs::write(root.join("etc/plain"), "no program").unwrap();
    fs::write(root.join("bin/no-interpreter"), "#!/not/there\n").unwrap();
    fs::write(root.join("bin/no-format"), "\u{1}\u{2}").unwrap();
    for script in ["bin/no-interpreter", "bin/no-format"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.join(script), mode).unwrap();
    }
}
