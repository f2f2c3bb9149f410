//! A node as far as the tests see one: `cofferdam serve`, CNI, and the registry for its images. Main type: [`Node`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::cofferdam::Cofferdam;
use harness::registry::{Access, Registry, Storage};
use rustix::process::{Pid, Signal};
use serde_json::json;
use toml::{Table, Value};

use crate::deadlines::{CALL_SECONDS, LOOK_AGAIN, START};
use crate::{images, sandboxes};

/// For documentation (RFC 5737): no host of anybody has them.
const ADDRESSES: &str = "192.0.2.0/24";
const PLUGINS: &str = "/usr/lib/cni";
const BRIDGE: &str = "cofferdam-test";

/// A daemon that is ready; it and its pods end when this is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    daemon: Child,
    cofferdam: Cofferdam,
    _registry: Registry,
}

impl Node {
    pub(crate) fn start(dist: &Path, storage: &Storage, results: &Path) -> Result<Self> {
        let registry = Registry::start(storage, Access::Everyone)?;
        let cofferdam = Cofferdam::from_dist(dist)?;
        let file = configure(&cofferdam, &registry)?;
        mount_layers(&cofferdam)?;
        let log = results.join("cofferdam.log");
        let log = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let daemon = Command::new(dist.join("cofferdam"))
            .arg("--config")
            .arg(file)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the daemon's log")?)
            .stderr(log)
            .spawn()
            .context("start cofferdam serve")?;
        let mut node = Self {
            daemon,
            cofferdam,
            _registry: registry,
        };
        node.wait()?;
        let clients = format!(
            "runtime-endpoint: {0}\nimage-endpoint: {0}\ntimeout: {CALL_SECONDS}\n",
            node.endpoint()
        );
        fs::write(node.client_file(), clients).context("write the clients' configuration")?;
        fs::write(node.image_list(), images::LIST).context("write the list of images")?;
        Ok(node)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("run/cri.sock")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The configuration of critest and crictl.
    pub(crate) fn client_file(&self) -> PathBuf {
        self.folder().join("crictl.yaml")
    }

    /// Which images critest shall use where it has a choice.
    pub(crate) fn image_list(&self) -> PathBuf {
        self.folder().join("images.yaml")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.cofferdam.state()
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let ended = self.daemon.try_wait().context("look after the daemon")?;
            ensure!(
                ended.is_none(),
                "cofferdam serve ended at once ({ended:?}): see cofferdam.log"
            );
            ensure!(
                Instant::now() < deadline,
                "cofferdam serve does not answer within {START:?}"
            );
            thread::park_timeout(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What fails here is seen by who looks at the host; the tests have been told already.
        sandboxes::remove_all(&self.socket()).ok();
        rustix::process::kill_process(Pid::from_child(&self.daemon), Signal::TERM).ok();
        self.daemon.wait().ok();
        let netns = self.folder().join("run/netns");
        for mounted in [netns, layers(&self.cofferdam)] {
            Command::new("umount").arg(mounted).output().ok();
        }
        Command::new("ip")
            .args(["link", "delete", BRIDGE])
            .output()
            .ok();
    }
}

/// Where the daemon keeps the writable layers of pods on the node.
fn layers(cofferdam: &Cofferdam) -> PathBuf {
    cofferdam.state().join("state/layers")
}

/// They can't lie on an overlay, which the test host's own root is.
fn mount_layers(cofferdam: &Cofferdam) -> Result<()> {
    let at = layers(cofferdam);
    fs::create_dir_all(&at).with_context(|| format!("make {}", at.display()))?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "layers"]).arg(&at);
    let mounted = mount.status().context("start mount")?;
    ensure!(mounted.success(), "mount a tmpfs on {}", at.display());
    Ok(())
}

/// Writes the daemon's configuration: the harness's, with the registries' mirror and the network.
fn configure(cofferdam: &Cofferdam, registry: &Registry) -> Result<PathBuf> {
    let file = cofferdam.state().join("config.toml");
    let usual = fs::read_to_string(&file).context("read the configuration")?;
    let mut configuration = usual.parse::<Table>().context("read the configuration")?;
    let mirror = Table::from_iter([(
        "url".to_owned(),
        text(&format!("http://{}", registry.address())),
    )]);
    let hosts = images::REGISTRIES.map(|host| {
        let mirrors = Value::Array(vec![Value::Table(mirror.clone())]);
        let host = [
            ("host".to_owned(), text(host)),
            ("mirrors".to_owned(), mirrors),
        ];
        Value::Table(Table::from_iter(host))
    });
    configuration.insert("registry".to_owned(), Value::Array(hosts.into()));
    let plugins = cofferdam.state().join("net.d");
    let network = [
        ("conf_dir".to_owned(), text(&plugins.to_string_lossy())),
        ("bin_dirs".to_owned(), Value::Array(vec![text(PLUGINS)])),
    ];
    configuration.insert(
        "network".to_owned(),
        Value::Table(Table::from_iter(network)),
    );
    fs::write(&file, configuration.to_string()).context("write the configuration")?;
    fs::create_dir_all(&plugins).context("make the folder of the CNI configuration")?;
    fs::write(
        plugins.join("10-conformance.conflist"),
        plugin_list(cofferdam.state()),
    )
    .context("write the CNI configuration")?;
    Ok(file)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// A bridge with ports of the node, as small clusters have it.
fn plugin_list(folder: &Path) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "conformance",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": folder.join("leases"),
                    "ranges": [[{ "subnet": ADDRESSES }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
    .to_string()
}
