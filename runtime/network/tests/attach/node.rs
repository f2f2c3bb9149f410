//! A node for one test. Main type: [`Node`]; [`run`] makes it, and skips aloud where this host can't.

use std::{
    fs,
    num::NonZeroU8,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use model::PodId;
use network::{Attachment, Deadlines, Network, NetworkConfig, NetworkError, PodRequest};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};
use rtnetlink::Handle;
use serde_json::Value;

/// For whatever a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Of Debian and of Kubernetes' installers.
const BIN_DIRS: &[&str] = &["/usr/lib/cni", "/opt/cni/bin"];

/// Folders and network of one node.
pub(crate) struct Node {
    root: tempfile::TempDir,
    pub(crate) test: &'static str,
    pub(crate) network: Network,
}

/// Runs `body` on a node of its own. `programs` are the plugins that it needs.
pub(crate) fn run(
    test: &'static str,
    programs: &[&str],
    body: impl AsyncFnOnce(Node) + Send + 'static,
) {
    if let Some(reason) = missing(programs) {
        eprintln!("SKIPPED {test}: {reason}");
        return;
    }
    let on_node = move || {
        // Threads that this one starts, and their children, are in the same namespaces.
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let root = tempfile::tempdir().unwrap();
            for folder in ["net.d", "bin"] {
                fs::create_dir(root.path().join(folder)).unwrap();
            }
            let network = open(root.path());
            body(Node {
                root,
                test,
                network,
            })
            .await;
        });
    };
    let thread = std::thread::spawn(on_node);
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn missing(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this user is not root".to_owned());
    }
    if let Err(error) = fs::File::options().write(true).open("/dev/net/tun") {
        return Some(format!("/dev/net/tun does not open: {error}"));
    }
    let is_there = |program: &&&str| {
        BIN_DIRS
            .iter()
            .any(|at| Path::new(at).join(program).is_file())
    };
    let program = programs.iter().find(|program| !is_there(program))?;
    Some(format!(
        "no CNI plugin {program}: see tests/testbed/packages network"
    ))
}

fn open(root: &Path) -> Network {
    let mut bin_dirs: Vec<PathBuf> = vec![root.join("bin")];
    bin_dirs.extend(BIN_DIRS.iter().map(PathBuf::from));
    let config = NetworkConfig {
        conf_dir: root.join("net.d"),
        bin_dirs,
        max_networks: NonZeroU8::new(2).unwrap(),
        state_dir: root.join("state"),
        run_dir: root.join("run"),
    };
    Network::open(config, Deadlines::scaled(10)).unwrap()
}

pub(crate) fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

pub(crate) fn request(pod: &str) -> PodRequest {
    PodRequest {
        pod: self::pod(pod),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "6f3".to_owned(),
        annotations: Default::default(),
        port_mappings: Vec::new(),
        bandwidth: None,
        dns: None,
        ips: Vec::new(),
        mac: None,
        cgroup_path: None,
        queues: Some(NonZeroU8::MIN),
    }
}

impl Node {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a configuration; `DATA` in it is a folder of this node.
    pub(crate) fn configure(&self, file: &str, conf: &Value) {
        let data = self.path("data").display().to_string();
        let text = conf.to_string().replace("DATA", &data);
        fs::write(self.path("net.d").join(file), text).unwrap();
    }

    /// Writes a plugin that is a shell script; `AT` in it is this node's folder. By another process: while this one has a program
    /// open for writing, a child of another test's may hold it too, and no one can execute it (execve(2), ETXTBSY).
    pub(crate) fn script(&self, name: &str, script: &str) {
        let at = self.root.path().display().to_string();
        let text = format!(
            "#!/bin/sh\necho \"$CNI_COMMAND {name}\" >> AT/log\ncat > AT/input\n{script}\n"
        );
        let source = self.path(name);
        fs::write(&source, text.replace("AT", &at)).unwrap();
        let mut install = Command::new("install");
        install
            .args(["-m", "755"])
            .arg(source)
            .arg(self.path("bin"));
        assert!(install.status().unwrap().success());
    }

    pub(crate) fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// As a daemon that was started again.
    pub(crate) fn restart(&mut self) {
        self.network = open(self.root.path());
    }

    /// None where the kernel lacks what a join needs, which is said.
    pub(crate) async fn setup(&self, request: PodRequest) -> Option<Attachment> {
        match self.network.setup(request).await {
            Ok(attachment) => Some(attachment),
            Err(error) => {
                let text = chain(&error);
                let lacks = ["os error 2)", "os error 95)"]
                    .iter()
                    .any(|no| text.contains(no));
                assert!(
                    lacks && text.contains("has the kernel its module"),
                    "{text}"
                );
                eprintln!("SKIPPED {}: {text}", self.test);
                None
            }
        }
    }

    /// Names and MTUs of the links in a namespace: this node's, or a pod's.
    pub(crate) async fn links(&self, pod: Option<&str>) -> Vec<(String, u32)> {
        let path = pod.map(|pod| self.path("run/netns").join(pod));
        let namespace = path.map(|path| fs::File::open(path).unwrap());
        let list = move || {
            if let Some(namespace) = namespace {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let handle = netlink();
                read_links(&handle).await
            })
        };
        std::thread::spawn(list).join().unwrap()
    }

    /// Nothing of any pod is left: no namespace, no record, no lease, no link beside those that are the network's own.
    pub(crate) async fn assert_clean(&self, network_links: &[&str]) {
        let is_empty = |folder: &str| match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_none) => Vec::new(),
        };
        assert_eq!(is_empty("run/netns"), Vec::<PathBuf>::new());
        assert_eq!(is_empty("state/attachments"), Vec::<PathBuf>::new());
        for lease in is_empty("data/net").iter().chain(&is_empty("data/net1")) {
            let name = lease.file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                name == "lock" || name.starts_with("last_reserved"),
                "{name}"
            );
        }
        // A pod's links go with its namespace, which the kernel takes apart in its own time.
        let end = Instant::now() + PATIENCE;
        loop {
            let links = self.links(None).await;
            let mut left = links.iter().map(|(name, _)| name.as_str());
            let stranger = left.find(|name| *name != "lo" && !network_links.contains(name));
            let Some(stranger) = stranger else { break };
            assert!(Instant::now() < end, "link {stranger} is left");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn netlink() -> Handle {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    handle
}

async fn read_links(handle: &Handle) -> Vec<(String, u32)> {
    use futures_util::TryStreamExt;
    use rtnetlink::packet_route::link::LinkAttribute;
    let mut links = std::pin::pin!(handle.link().get().execute());
    let mut read = Vec::new();
    while let Some(link) = links.try_next().await.unwrap() {
        let (mut name, mut mtu) = (String::new(), 0);
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = text,
                LinkAttribute::Mtu(bytes) => mtu = bytes,
                _ => {}
            }
        }
        read.push((name, mtu));
    }
    read
}

/// An error with its causes.
pub(crate) fn chain(error: &NetworkError) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
