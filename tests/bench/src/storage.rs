//! What files cost in a pod, beside the same files on the host and beside QEMU's microvm with virtiofsd on the same kernel: the image's device, the
//! writable layer's disk, a shared folder, a block device; and how much of the host's page cache an image takes that several pods read.
//! Main function: [`measure`]; the other VM is in `other_vm`, the cache in `page_cache`.
//!
//! The same static program does it everywhere (`storage-suite measure`). A guest reads large files with its own page cache empty and the host's full, the
//! host from its full one. The folders have to lie on a file system of the host's that has one: `place` makes it.

mod other_vm;
mod page_cache;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Device, ExecSyncRequest, Mount};
use harness::{
    image::{Compression, ImageBuilder, Layer},
    speed::{self, Figure},
};
use serde::{Deserialize, Serialize};

use crate::{
    boot,
    dist::Dist,
    pods::{
        self,
        node::{self, Node},
    },
};
pub(crate) use page_cache::PageCache;

const PROGRAM: &str = "storage-suite";

/// What of it the container's image has.
const TREE: &str = "/tree";

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) topics: Vec<Topic>,
    pub(crate) page_cache: PageCache,
}

/// One kind of storage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) ours: Sample,
    pub(crate) host: Vec<Figure>,
    /// Where there is such a thing to compare with.
    pub(crate) qemu: Option<Sample>,
}

/// In one VM.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) figures: Vec<Figure>,
    /// KVM exits from before the first to after the last of them.
    pub(crate) kvm_exits: u64,
}

/// Everything on the host that is measured.
#[derive(Debug)]
struct Bench {
    program: PathBuf,
    folder: tempfile::TempDir,
    device: PathBuf,
}

pub(crate) async fn measure(dist: &Dist) -> Result<Measured> {
    let bench = Bench::new(dist)?;
    let on_host = |what: &str, target: &Path| -> Result<Vec<Figure>> {
        let command = Command::new(&bench.program)
            .args(["measure", what, "warm"])
            .arg(target)
            .output()?;
        let said = String::from_utf8_lossy(&command.stderr);
        ensure!(command.status.success(), "{what} on the host: {said}");
        speed::parse(&command.stdout[..])
    };
    let host_tree = on_host("tree", &bench.path("tree"))?;
    let host_folder = on_host("folder", &bench.path("folder"))?;
    let host_device = on_host("device", &bench.device)?;

    let mut node = Node::cofferdam(dist, &image(&bench)?)
        .await
        .context("start cofferdam")?;
    let [tree, scratch, share, block] = in_pod(&mut node, &bench).await?;
    let page_cache = page_cache::measure(&mut node).await?;
    drop(node);
    let mut qemu = other_vm::measure(dist, &bench).await?.into_iter();

    let topic = |name: &str, ours, host: &[Figure], qemu| Topic {
        name: name.to_owned(),
        ours,
        host: host.to_vec(),
        qemu,
    };
    Ok(Measured {
        topics: vec![
            topic(
                "image (EROFS on virtio-blk, read only)",
                tree,
                &host_tree,
                None,
            ),
            topic(
                "writable layer (XFS on virtio-blk)",
                scratch,
                &host_folder,
                None,
            ),
            topic(
                "shared folder (virtio-fs)",
                share,
                &host_folder,
                qemu.next(),
            ),
            topic(
                "block device (virtio-blk)",
                block,
                &host_device,
                qemu.next(),
            ),
        ],
        page_cache,
    })
}

impl Bench {
    fn new(dist: &Dist) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let path = |name: &str| folder.path().join(name);
        for name in ["tree", "tree/small", "folder", "share", "other-share"] {
            fs::create_dir(path(name)).with_context(|| format!("make {name}"))?;
        }
        for (file, content) in speed::make_tree() {
            fs::write(path("tree").join(file), content).context("write a file of the tree")?;
        }
        let disk = path("disk");
        fs::File::create(&disk)?.set_len(2 * speed::LARGE_BYTES)?;
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&disk)
            .output()?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "make a loop device: {said}");
        let device = String::from_utf8(made.stdout)?.trim().into();
        Ok(Self {
            program: dist.folder().join(PROGRAM),
            folder,
            device,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What goes wrong at the end spoils no figure.
        Command::new("losetup")
            .arg("--detach")
            .arg(&self.device)
            .status()
            .ok();
    }
}

/// With the program and the tree in it.
fn image(bench: &Bench) -> Result<ImageBuilder> {
    let program =
        fs::read(&bench.program).with_context(|| format!("read {}", bench.program.display()))?;
    let mut layer = Layer::new(Compression::None)
        .file(&format!("bin/{PROGRAM}"), 0o755, program)
        .directory("scratch", 0o755)
        .directory("tree", 0o755)
        .directory("tree/small", 0o755);
    for (file, content) in speed::make_tree() {
        let path = Path::new("tree").join(file);
        layer = layer.file(path.to_str().context("a name")?, 0o644, content);
    }
    Ok(node::image()?.layer(layer))
}

/// Of the image's device, the writable layer, the share and the block device.
async fn in_pod(node: &mut Node, bench: &Bench) -> Result<[Sample; 4]> {
    let sandbox = pods::run_sandbox(node, 0).await?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let config = ContainerConfig {
        mounts: vec![Mount {
            container_path: "/share".to_owned(),
            host_path: text(&bench.path("share")),
            ..Mount::default()
        }],
        devices: vec![Device {
            container_path: "/dev/xvda".to_owned(),
            host_path: text(&bench.device),
            permissions: "rwm".to_owned(),
        }],
        ..ContainerConfig::default()
    };
    let container = pods::run_configured(node, 0, &sandbox, config).await?;
    let samples = [
        sample(node, &container, "tree", TREE).await?,
        sample(node, &container, "folder", "/scratch").await?,
        sample(node, &container, "folder", "/share").await?,
        sample(node, &container, "device", "/dev/xvda").await?,
    ];
    pods::remove(node, sandbox).await?;
    Ok(samples)
}

async fn sample(node: &mut Node, container: &str, what: &str, target: &str) -> Result<Sample> {
    let before = boot::exits()?;
    let said = exec(node, container, &[PROGRAM, "measure", what, "cold", target]).await?;
    Ok(Sample {
        figures: speed::parse(&said[..])?,
        kvm_exits: boot::exits()?.saturating_sub(before),
    })
}

/// What a command in a container says.
async fn exec(node: &mut Node, container: &str, words: &[&str]) -> Result<Vec<u8>> {
    let request = ExecSyncRequest {
        container_id: container.to_owned(),
        cmd: words.iter().map(|word| (*word).to_owned()).collect(),
        timeout: 0,
    };
    let answer = node.runtime.exec_sync(request).await;
    let answer = answer.with_context(|| format!("{words:?}"))?.into_inner();
    let said = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.exit_code == 0, "{words:?}: {said}");
    Ok(answer.stdout)
}
