//! What the program's configuration says to this crate. Main type: [`Settings`].

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU8, path::PathBuf};

use devices::PciAddress;
use images::Reference;
use pod::{CgroupDriver, CgroupParent, ScratchPlan};
use registry::Hosts;
use serde::{Deserialize, Serialize};

use crate::exporter::Listen;

/// One server. Shown to whoever asks Status verbosely, so it holds no secret.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// The unix socket.
    pub socket: PathBuf,
    /// Version of the program.
    pub version: String,
    /// Runtime handlers by name, beside the empty one, which is for pods in VMs.
    pub runtime_handlers: BTreeMap<String, Handler>,
    /// Pods on the node.
    pub host_pods: HostPods,
    /// The image store.
    pub images_dir: PathBuf,
    /// Images that kubelet's garbage collection leaves alone, by name.
    pub pinned_images: Vec<Reference>,
    /// Registries with mirrors, or that are elsewhere than their names say. Not shown: a mirror's address may have a token in its path.
    #[serde(skip)]
    pub registries: Hosts,
    /// Folder of all records of pods.
    pub records_dir: PathBuf,
    /// Folder of all run folders of pods.
    pub pods_dir: PathBuf,
    /// What pods' disks for writable layers are made of; without it they lie in guests' memory.
    pub scratch: Option<ScratchPlan>,
    /// Where pods' cgroups are.
    pub cgroup: CgroupSettings,
    /// Which functions of the node pods may have.
    pub vfio: VfioSettings,
    /// Where Prometheus asks for the daemon's own figures, if it does.
    pub metrics: Option<Listen>,
    /// Where clients come for exec, attach and port-forward.
    pub streaming: StreamingSettings,
    /// All deadlines are multiplied by it.
    pub deadline_scale: u32,
    /// Where pods get their networks.
    pub network: NetworkSettings,
    /// What runs beside a VM on the node.
    pub parts: VmParts,
    /// What is in a VM where no runtime handler says otherwise.
    pub guest: Guest,
    /// What a container gets when it does not say.
    pub container: ContainerDefaults,
}

impl Settings {
    /// What is in the VMs of this handler. One that the configuration has no more is as none.
    pub(crate) fn guest(&self, handler: &str) -> &Guest {
        match self.runtime_handlers.get(handler) {
            Some(Handler::Vm(guest)) => guest,
            Some(Handler::Host) | None => &self.guest,
        }
    }

    /// Memory that each VM has more for a writable layer, in MiB.
    pub(crate) fn memory_layer_mib(&self) -> u32 {
        match self.scratch {
            Some(_) => 0,
            None => self.container.writable_mib,
        }
    }
}

/// A runtime handler.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Handler {
    /// Pods in VMs like this, but for those that share a namespace with the node.
    Vm(Guest),
    /// Pods on the node, as ordinary containers.
    Host,
}

impl Handler {
    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> HandlerKind {
        match self {
            Self::Vm(_) => HandlerKind::Vm,
            Self::Host => HandlerKind::Host,
        }
    }
}

/// What a runtime handler is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerKind {
    /// Pods in VMs, but for those that share a namespace with the node.
    Vm,
    /// Pods on the node, as ordinary containers.
    Host,
}

/// Pods that are on the node itself.
#[derive(Debug, Clone, Serialize)]
pub struct HostPods {
    /// Whether there may be any.
    pub enabled: bool,
    /// The agent's program, one process for each of them.
    pub agent: PathBuf,
    /// Folder of the writable layers of their containers.
    pub layers_dir: PathBuf,
}

/// Functions of the node for pods in VMs.
#[derive(Debug, Clone, Serialize)]
pub struct VfioSettings {
    /// Those that there are for pods.
    pub devices: VfioDevices,
    /// Resources of device plugins that are VFIO's: names, or beginnings of names with a `*` behind them.
    pub resources: Vec<String>,
    /// Whether a sandbox's annotation can ask for one.
    pub annotation: bool,
    /// kubelet's PodResources socket.
    pub kubelet_socket: PathBuf,
    /// How many a VM may be given at a time while it runs.
    pub hot_plug: u8,
}

impl VfioSettings {
    /// How many a VM has to be ready for: none where there is none for pods.
    pub(crate) fn later(&self) -> u8 {
        match self.devices == VfioDevices::Listed(Vec::new()) {
            true => 0,
            false => self.hot_plug,
        }
    }
}

/// Functions that pods may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VfioDevices {
    /// Each that VFIO has.
    All,
    /// These; none is none.
    Listed(Vec<PciAddress>),
}

/// Where pods' cgroups on this node are.
#[derive(Debug, Clone, Serialize)]
pub struct CgroupSettings {
    /// Where cgroup v2 is mounted; none on a host without it, which can't run pods.
    pub mount: Option<PathBuf>,
    /// What kubelet is told, and how its names are read.
    pub driver: CgroupDriver,
    /// For a sandbox that names no parent.
    pub parent: CgroupParent,
}

/// Where the streaming server listens, and how.
#[derive(Debug, Clone, Serialize)]
pub struct StreamingSettings {
    /// Port 0 is any free one.
    pub listen: SocketAddr,
    /// How URLs begin; none makes it of the address.
    pub base_url: Option<String>,
    /// Files in PEM form, certificate and key; with them it is https.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Where CNI's files are, and where ours about them go.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkSettings {
    /// Folder of the network configuration files.
    pub conf_dir: PathBuf,
    /// Folders in which plugins are looked for, in this order.
    pub bin_dirs: Vec<PathBuf>,
    /// How many networks a pod is joined to.
    pub max_networks: NonZeroU8,
    /// Records of what is attached; outlives a restart.
    pub state_dir: PathBuf,
    /// Network namespaces; empty after a reboot.
    pub run_dir: PathBuf,
}

/// What runs each VM, and how.
#[derive(Debug, Clone, Serialize)]
pub struct VmParts {
    /// The monitor program.
    pub monitor: PathBuf,
    /// The share server program.
    pub share_server: PathBuf,
    /// Unprivileged user id and group id of a monitor.
    pub monitor_identity: (u32, u32),
    /// Whether the console is written to a file.
    pub console_log: bool,
}

/// What is in a VM, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guest {
    /// The kernel.
    pub kernel: PathBuf,
    /// The root.
    pub image: PathBuf,
    /// Words added to the kernel's command line.
    pub kernel_arguments: String,
    /// How large a VM is when the sandbox does not say.
    pub size: VmDefaults,
}

/// How large a VM is when the sandbox does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VmDefaults {
    /// Virtual processors.
    pub processors: u8,
    /// Memory for containers, in MiB.
    pub memory_mib: u32,
    /// Least memory above that, for the guest's kernel and the agent, in MiB.
    pub overhead_mib: u32,
}

/// What a container gets when it does not say.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ContainerDefaults {
    /// Most processes and threads; 0 is no limit.
    pub pids_limit: u32,
    /// Most bytes in the writable layer, in MiB.
    pub writable_mib: u32,
}
