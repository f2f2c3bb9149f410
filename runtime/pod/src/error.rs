//! What can go wrong with a pod. Main type: [`PodError`]. Callers branch on [`PodError::fault`]; the text is for people.

use agent_client::AgentError;
use model::Fault;
use thiserror::Error;
use vm_client::{Ending, LaunchError, RequestError};

use crate::block_devices::OpenError as BlockDeviceError;
use crate::cgroup::CgroupError;
use crate::disk_volumes::ImageError as EmptyDirDiskError;
use crate::home::HostAgentError;
use crate::oci::SpecificationError;
use crate::record::RecordError;
use crate::scratch::ScratchError;
use crate::sockets::SocketError;

/// Why a pod did not start, or did not go on.
#[derive(Debug, Error)]
pub enum PodError {
    /// Its run folder.
    #[error("prepare the pod's run folder")]
    Folder(#[source] RecordError),
    /// Its cgroup on this host.
    #[error("have a cgroup for the pod")]
    Cgroup(#[source] CgroupError),
    /// Its disk for writable layers.
    #[error("have a scratch disk for the pod")]
    Scratch(#[source] ScratchError),
    /// The VM took no scratch disk.
    #[error("give the VM its scratch disk")]
    ScratchDisk(#[source] RequestError),
    /// The record that a restart reads.
    #[error("write the pod's record")]
    Record(#[source] RecordError),
    /// It has stopped, or is being stopped.
    #[error("pod {pod} does not run")]
    NotRunning {
        /// The pod.
        pod: String,
    },
    /// No such container.
    #[error("there is no container {container} in the pod")]
    NoContainer {
        /// The id.
        container: String,
    },
    /// The id is taken.
    #[error("container {container} exists already")]
    ContainerExists {
        /// The id.
        container: String,
    },
    /// Right request, wrong moment.
    #[error("{attempt} container {container}: {because}")]
    ContainerState {
        /// The container.
        container: String,
        /// What was attempted.
        attempt: &'static str,
        /// Why it can't be done now.
        because: String,
    },
    /// The agent does not answer, though its VM runs.
    #[error("the pod was ended: {cause}")]
    AgentLost {
        /// Why.
        cause: String,
    },
    /// A container's log.
    #[error("log the container's output")]
    Log(#[source] container_log::LogError),
    /// The task that wrote a container's log is gone.
    #[error("log the container's output to {}: the log was lost by an earlier error", path.display())]
    LogLost {
        /// The log.
        path: std::path::PathBuf,
    },
    /// A socket of the host that a container mounts.
    #[error("mount the socket {} of the node", path.display())]
    Socket {
        /// The socket.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: SocketError,
    },
    /// Its console's file.
    #[error("make the console's file in the pod's run folder")]
    Console(#[source] std::io::Error),
    /// A node of VFIO's.
    #[error(
        "open {} for the pod's VM: VFIO has to have the device, and no other VM or program may have any of its IOMMU group", path.display()
    )]
    Vfio {
        /// The node.
        path: std::path::PathBuf,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// A function that neither of the kernel's interfaces leads to.
    #[error(
        "give function {function} of the host to the pod's VM: with the pod's other functions it needs a cdev for each and /dev/iommu \
         (CONFIG_IOMMUFD, CONFIG_VFIO_DEVICE_CDEV), or a group below /dev/vfio for each (CONFIG_VFIO_GROUP)"
    )]
    FunctionNode {
        /// Its address.
        function: String,
    },
    /// A function whose address no VM can be told.
    #[error(
        "give function {function} of the host to the pod's VM: only functions of the first 65536 PCI domains can be given"
    )]
    FunctionName {
        /// Its address.
        function: String,
    },
    /// Its monitor.
    #[error("launch the pod's VM")]
    Launch(#[source] Box<LaunchError>),
    /// The guest ended, or its monitor died, during something.
    #[error("the pod's VM ended while {during}: {}: {}{}", ending.reason, ending.text, tail(ending))]
    GuestEnded {
        /// What was going on.
        during: &'static str,
        /// How it ended.
        ending: Box<Ending>,
    },
    /// The pod's agent on the node, or why it can't be.
    #[error("run the pod's agent on the node")]
    HostAgent(#[source] HostAgentError),
    /// It ended, or was killed, during something.
    #[error("the pod's agent on the node ended while {during}: {cause}")]
    HostAgentEnded {
        /// What was going on.
        during: &'static str,
        /// How it ended.
        cause: String,
    },
    /// The image's disk.
    #[error("add the image's disk to the pod's VM")]
    Disk(#[source] RequestError),
    /// A block device of the host.
    #[error("give the block device {} of the node to pod {pod}", path.display())]
    BlockDevice {
        /// Where the host has it.
        path: std::path::PathBuf,
        /// The pod.
        pod: String,
        /// Why it can't be had.
        #[source]
        source: BlockDeviceError,
    },
    /// A block device that no container has any more.
    #[error("take a block device off the bus of the pod's VM")]
    BlockDeviceStays(#[source] RequestError),
    /// A network device.
    #[error("add network device {name} to the pod's VM")]
    Nic {
        /// Its interface's name.
        name: String,
        /// The monitor's answer.
        #[source]
        source: RequestError,
    },
    /// A network device that no VM can have.
    #[error("add network device {name} to the pod's VM: {what}")]
    NicValue {
        /// Its interface's name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A disk's name.
    #[error("name the disk {disk}")]
    DiskName {
        /// Its container, or what it is for.
        disk: String,
    },
    /// A container that no guest can run as it is asked for.
    #[error("turn the container's values into an OCI specification")]
    Unserved(#[from] SpecificationError),
    /// The specification.
    #[error("write the container's OCI specification")]
    Specification(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What a container mounts can't be read, or written back.
    #[error("copy a volume between the host and the pod's VM")]
    Volume(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An emptyDir that is a disk of the VM.
    #[error("make a disk of the emptyDir {}", folder.display())]
    EmptyDirDisk {
        /// Its folder.
        folder: std::path::PathBuf,
        /// Why not.
        #[source]
        source: EmptyDirDiskError,
    },
    /// Its name.
    #[error("name a volume of the pod")]
    VolumeName,
    /// The server of its shared folders.
    #[error("launch the pod's share server")]
    ShareServer(#[source] share_client::LaunchError),
    /// It was there and is not any more: what is shared already fails in the guest.
    #[error("attach to the pod's share server again")]
    ShareServerLost(#[source] share_client::ProcessError),
    /// Its device.
    #[error("put the pod's share on the VM's bus")]
    ShareDevice(#[source] vm_client::RequestError),
    /// A folder or file of the host.
    #[error("share a folder of the host with the VM")]
    Share(#[source] share_client::AddError),
    /// What is kept of the pod's shares.
    #[error("keep or read the list of the pod's shares")]
    ShareRecord(#[source] std::io::Error),
    /// A call to the agent.
    #[error("{attempt}")]
    Agent {
        /// What it was for.
        attempt: &'static str,
        /// What it came to.
        #[source]
        source: AgentError,
    },
    /// A guest was to be given an AppArmor profile of the node.
    #[error("load the AppArmor profile {profile:?} of the node into the guest's kernel")]
    AppArmor {
        /// Its name.
        profile: String,
        /// What it came to.
        #[source]
        source: AgentError,
    },
    /// A stdio stream.
    #[error("connect the container's standard streams")]
    Stdio(#[source] AgentError),
    /// The task that owned the pod is gone.
    #[error("the pod has been torn down")]
    TornDown,
}

impl PodError {
    /// The kind of the error.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Folder(RecordError::Exists { .. })
            | Self::NotRunning { .. }
            | Self::ContainerExists { .. }
            | Self::ContainerState { .. } => Fault::Refused,
            Self::NoContainer { .. } => Fault::NotFound,
            Self::BlockDevice {
                source: BlockDeviceError::Kind,
                ..
            }
            | Self::Unserved(_)
            | Self::Share(_) => Fault::Invalid,
            Self::BlockDevice { .. }
            | Self::Launch(_)
            | Self::Vfio { .. }
            | Self::FunctionNode { .. }
            | Self::FunctionName { .. }
            | Self::Cgroup(_)
            | Self::Scratch(_)
            | Self::EmptyDirDisk { .. }
            | Self::Socket { .. }
            | Self::HostAgent(_) => Fault::HostUnfit,
            Self::GuestEnded { .. }
            | Self::HostAgentEnded { .. }
            | Self::AgentLost { .. }
            | Self::TornDown
            | Self::Stdio(_) => Fault::GuestLost,
            Self::Agent { source, .. } | Self::AppArmor { source, .. } => agent_fault(source),
            _ => Fault::Internal,
        }
    }
}

fn agent_fault(error: &AgentError) -> Fault {
    match error {
        AgentError::NotFound { .. } => Fault::NotFound,
        AgentError::Precondition { .. } | AgentError::AlreadyExists { .. } => Fault::Refused,
        AgentError::Invalid { .. } => Fault::Invalid,
        AgentError::Deadline { .. } => Fault::DeadlineExceeded,
        AgentError::Lost { .. } => Fault::GuestLost,
        AgentError::Other { .. } => Fault::Internal,
    }
}

/// The last lines of the guest's console, indented; nothing when it said nothing.
fn tail(ending: &Ending) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = ending
        .console_tail
        .lines()
        .filter(|line| !line.is_empty())
        .collect();
    let skip = lines.len().saturating_sub(LINES);
    lines
        .iter()
        .skip(skip)
        .map(|line| format!("\n    {}", line.escape_debug()))
        .collect()
}
