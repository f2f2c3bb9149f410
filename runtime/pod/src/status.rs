//! What front doors see of a pod, at one moment. Main type: [`PodStatus`]. The owner publishes a new one after each change; reading one
//! waits for nobody.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use model::{ContainerId, PodId, Stage};
use serde::{Deserialize, Serialize};
use vm_client::Running;

use crate::container::{Container, Note};

/// One pod, as it was when this was published.
#[derive(Debug, Clone)]
pub struct PodStatus {
    /// Its id.
    pub id: PodId,
    /// The front door's own.
    pub note: Arc<Note>,
    /// When its start began, in nanoseconds since 1970.
    pub created_at_ns: i64,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Its containers, until they are removed.
    pub containers: BTreeMap<ContainerId, Arc<Container>>,
    /// How long each stage of its start took.
    pub stages: Vec<Stage>,
    /// The monitor's own account of its launch; none after a restart of this program.
    pub launch: Option<Running>,
    /// While it runs: its monitor's process id.
    pub monitor_pid: Option<u32>,
    /// While it runs: its cgroup on this host; none on a host without cgroup v2.
    pub cgroup: Option<PathBuf>,
}

impl PodStatus {
    /// What lives as long as the VM is not told of after it.
    pub(crate) fn enter(&mut self, phase: PodPhase) {
        if phase != PodPhase::Running {
            self.monitor_pid = None;
            self.cgroup = None;
        }
        self.phase = phase;
    }
}

/// Where a pod is in its life, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodPhase {
    /// Its agent answers.
    Running,
    /// It is being torn down.
    Stopping,
    /// Nothing of it is left on the host but its record.
    Stopped {
        /// Why, when nobody asked for it.
        cause: Option<String>,
    },
}
