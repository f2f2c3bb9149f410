//! The daemons that are measured, each with an image and a network of its own. Main type: [`Node`].

use std::{
    any::Any,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ImageSpec, ImageStatusRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use harness::{busybox, cofferdam::Cofferdam, image::ImageBuilder};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use crate::{deadlines, dist::Dist};

/// What both run in every container, and containerd as the sandbox's own.
pub(crate) const IMAGE: &str = busybox::REFERENCE;
pub(crate) const IDLE: [&str; 2] = ["sleep", "1000000"];

/// Where Debian has the CNI plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// For documentation (RFC 5737): no host of anybody has them.
const OUR_SUBNET: &str = "192.0.2.0/25";
const THEIR_SUBNET: &str = "192.0.2.128/25";

/// A running daemon and a client of it.
pub(crate) struct Node {
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    /// Whether the verbose status of a sandbox has the stages of its start.
    pub(crate) tells_stages: bool,
    /// Where all that it keeps is.
    pub(crate) folder: PathBuf,
    daemon: Child,
    /// A mount of memory, where there is one.
    mount: Option<PathBuf>,
    /// Its files, which go with it.
    _files: Box<dyn Any>,
}

impl Node {
    pub(crate) async fn cofferdam(dist: &Dist, image: &ImageBuilder) -> Result<Self> {
        let subject = Cofferdam::from_dist(dist.folder())?;
        let folder = subject.state().to_owned();
        let archive = archive(&folder, image)?;
        let imported = subject.run(["image", "import", &archive]).output()?;
        ensure!(imported.status.success(), "import: {}", imported.stderr);
        let network = network(&folder, "ours", OUR_SUBNET)?;
        let config = folder.join("config.toml");
        let mut text = fs::read_to_string(&config).context("read the configuration")?;
        text += &format!("[network]\nconf_dir = {network:?}\nbin_dirs = [{PLUGINS:?}]\n");
        fs::write(&config, text).context("write the configuration")?;
        let mut command = Command::new(dist.program());
        command.arg("--config").arg(&config).arg("serve");
        let mut node = Self::start(command, folder.join("run/cri.sock"), subject).await?;
        node.tells_stages = true;
        node.folder = folder;
        Ok(node)
    }

    pub(crate) async fn containerd() -> Result<Self> {
        let temporary = tempfile::tempdir().context("make a folder")?;
        let folder = temporary.path().to_owned();
        // Its snapshots are overlays, which can't lie on another one, as this host's root may be.
        run("mount", &["-t", "tmpfs", "tmpfs", path(&folder)?])?;
        let archive = archive(&folder, &image()?)?;
        let network = network(&folder, "theirs", THEIR_SUBNET)?;
        let config = folder.join("config.toml");
        fs::write(&config, containerd_config(&folder, &network))
            .context("write its configuration")?;
        let mut command = Command::new("containerd");
        command.arg("--config").arg(&config);
        let socket = folder.join("containerd.sock");
        let mut node = Self::start(command, socket.clone(), temporary).await?;
        node.folder.clone_from(&folder);
        node.mount = Some(folder);
        let import = [
            "-a",
            path(&socket)?,
            "-n",
            "k8s.io",
            "images",
            "import",
            &archive,
        ];
        run("ctr", &import)?;
        wait_for_image(&socket).await?;
        Ok(node)
    }

    async fn start(mut command: Command, socket: PathBuf, files: impl Any) -> Result<Self> {
        let log = fs::File::create(socket.with_extension("log"))
            .or_else(|_no_folder_yet| fs::File::create("/dev/null"))
            .context("make a log")?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let daemon = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let channel = connect(&socket).await?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel),
            tells_stages: false,
            folder: PathBuf::new(),
            daemon,
            mount: None,
            _files: Box::new(files),
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What goes wrong at the end spoils no figure; the pods have been removed.
        self.daemon.kill().ok();
        self.daemon.wait().ok();
        if let Some(mount) = &self.mount {
            Command::new("umount").arg("-l").arg(mount).status().ok();
        }
    }
}

async fn connect(socket: &Path) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", path(socket)?))?;
    let deadline = Instant::now() + deadlines::BOOT;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("connect to {}", socket.display()));
            }
            Err(_not_there_yet) => tokio::time::sleep(deadlines::LOOK).await,
        }
    }
}

/// containerd's CRI part hears of an image a moment after it was imported.
async fn wait_for_image(socket: &Path) -> Result<()> {
    let mut images = ImageServiceClient::new(connect(socket).await?);
    let deadline = Instant::now() + deadlines::STOP;
    loop {
        let request = ImageStatusRequest {
            image: Some(ImageSpec {
                image: IMAGE.to_owned(),
                ..ImageSpec::default()
            }),
            verbose: false,
        };
        if images
            .image_status(request)
            .await?
            .into_inner()
            .image
            .is_some()
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "containerd does not know {IMAGE}"
        );
        tokio::time::sleep(deadlines::LOOK).await;
    }
}

/// Its default configuration but for where things are.
fn containerd_config(folder: &Path, network: &Path) -> String {
    let at = |name: &str| folder.join(name);
    format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n\
         [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {IMAGE:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {PLUGINS:?}\nconf_dir = {network:?}\n",
        at("root"),
        at("state"),
        at("containerd.sock"),
        at("containerd.sock.ttrpc"),
        at("opt"),
    )
}

/// A veth pair from the node to each pod.
fn network(folder: &Path, name: &str, subnet: &str) -> Result<PathBuf> {
    let conf_dir = folder.join("net.d");
    fs::create_dir_all(&conf_dir).context("make the folder of the CNI configuration")?;
    let list = json!({
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": folder.join("leases"),
                "ranges": [[{ "subnet": subnet }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    fs::write(conf_dir.join("10-bench.conflist"), list.to_string())
        .context("write the CNI configuration")?;
    Ok(conf_dir)
}

/// The image of both; it idles by itself, so that it can be containerd's sandbox image.
pub(crate) fn image() -> Result<ImageBuilder> {
    Ok(busybox::busybox_image()?.cmd(&IDLE))
}

fn archive(folder: &Path, image: &ImageBuilder) -> Result<String> {
    let archive = folder.join("image.tar");
    image.build()?.write_docker_archive(&archive)?;
    Ok(path(&archive)?.to_owned())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is text")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}
