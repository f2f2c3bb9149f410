//! The heart: one task owns one pod, from its launch to its one teardown. Main type: [`Pod`], the handle. Below: `vm-client` and
//! `agent-client`. Above: the front doors, which never see a VM. What a pod lives in, a VM or the node itself, is its `home`.
//!
//! ```text
//! PodPlan ──Booted::launch──► Booted ──become_pod──► Pod        launch.rs   (a failed start ends in the teardown as well)
//! a VM, or an agent on the node                                 home.rs
//! commands, events ─────────► owner task                        owner.rs    decides with state/
//! stop, guest's end ────────► teardown                          teardown.rs
//! cgroup on the host ───────► made before the VM, removed last  cgroup.rs
//! crash of the owner ───────► sweep of its run folders          record.rs
//! restart of the daemon ────► recovery from the records         recover.rs, book.rs
//! ```

mod block_devices;
mod book;
mod cgroup;
mod connect;
mod container;
mod deadlines;
mod disk_volumes;
mod error;
mod handle;
mod home;
mod launch;
mod oci;
mod output;
mod owner;
mod pieces;
mod plan;
mod record;
mod recover;
mod scratch;
mod shares;
mod sockets;
mod state;
mod status;
mod teardown;
mod volumes;
mod wall_clock;
mod watched;

pub use agent_client::{
    AgentError as StreamError, InterfaceUsage, PROTOCOL_VERSION as AGENT_PROTOCOL, PodUsage,
    Pressure, PressureShare, Traffic, Usage,
};
pub use block_devices::OpenError as BlockDeviceError;
pub use cgroup::{CgroupDriver, CgroupError, CgroupParent, CgroupParentError, CgroupPlan};
pub use connect::{AttachEnd, AttachPlan, Attached};
pub use container::{Container, ContainerPhase, Exit, ExitCause, Note};
pub use deadlines::Deadlines;
pub use disk_volumes::ImageError as EmptyDirDiskError;
pub use error::PodError;
pub use handle::{Pod, Process, ProcessExit, ProcessInput, ProcessOutput, Streams};
pub use home::HostAgentError;
pub use launch::Booted;
pub use oci::{
    ProfileError, SpecificationError, check_container, check_user_namespace, guest_has_device,
};
pub use pieces::{PieceReader, pieces};
pub use plan::{
    ContainerPlan, ExecPlan, GuestPlan, Hold, HomePlan, HostFunction, HostPlan, Identity, Lifetime,
    MountPlan, Nic, NicQueue, OutputTo, PodPlan, Root, RootSegment, VolumeSource,
};
pub use record::{RecordError, sweep};
pub use recover::{Recovered, recover};
pub use scratch::{ScratchError, ScratchPlan, TemplateError, scratch_usage};
pub use sockets::{SocketError, SocketKind, socket_kind};
pub use status::{PodPhase, PodStatus};
pub use vm_client::{Running, VERSION as MONITOR_PROTOCOL};
