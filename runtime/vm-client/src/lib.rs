//! Launches a monitor, talks to it, and attaches to it again after a restart. Main type: [`Monitor`], the handle to one
//! machine. Below: `monitor`, the contract. Above: `pod`.
//!
//! ```text
//! LaunchPlan ──Monitor::launch──► Monitor ──stop──► Ending
//! run folder ──Monitor::attach──► Monitor ──(its end)──► Ending
//! ```
//!
//! A launch that fails or is dropped half-way leaves no process and no socket behind. One task per machine, the keeper,
//! owns its sockets and its process; the handle sends it commands.

mod channel;
mod deadlines;
mod keeper;
mod launch;
mod lost;
mod machine;
mod plan;
mod process;
mod run_folder;
mod words;

pub use channel::ChannelError;
pub use deadlines::Deadlines;
pub use launch::LaunchError;
pub use machine::{AttachError, Monitor, RequestError};
pub use monitor::{
    Datapath, DiskId, EndReason, Ending, Identity, Invalid, Lifetime, Mac, NicId, NicStatus,
    PciAddress, Processors, Running, ShareServer, ShareStatus, ShareTag, Status, VERSION,
};
pub use plan::{
    BlockDevicePlan, DiskPlan, FunctionPlan, LaunchPlan, NicPlan, NicQueuePlan, SegmentPlan,
    SharePlan, VfioInterface, VfioPlan,
};
pub use run_folder::{CONTROL_SOCKET, SocketError, VSOCK_SOCKET};
