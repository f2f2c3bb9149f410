//! The heart: one task owns one pod, from its launch to its one teardown. Main type: [`Pod`], the handle. Below: `vm-client` and
//! `agent-client`. Above: the front doors, which never see a VM.
//!
//! ```text
//! PodPlan ──Pod::start──► Pod + Process        start.rs   (a failed start ends in the teardown as well)
//! commands, events ─────► owner task           owner.rs   decides with state.rs
//! stop, guest's end ────► teardown             teardown.rs
//! crash of the owner ───► sweep of the records record.rs
//! ```

mod deadlines;
mod error;
mod handle;
mod oci;
mod owner;
mod plan;
mod record;
mod start;
mod state;
mod teardown;

pub use agent_client::{AgentError as StreamError, PROTOCOL_VERSION as AGENT_PROTOCOL};
pub use deadlines::Deadlines;
pub use error::PodError;
pub use handle::{Pod, Process, ProcessExit, ProcessInput, ProcessOutput};
pub use plan::{FirstContainer, PodPlan, Root, RootSegment};
pub use record::{RecordError, sweep};
pub use vm_client::{Running, VERSION as MONITOR_PROTOCOL};
