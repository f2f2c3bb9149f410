//! What front doors see of a pod, at one moment. Main type: [`PodStatus`]. The owner publishes a new one after each change; reading one
//! waits for nobody.

use std::{collections::BTreeMap, sync::Arc};

use model::{ContainerId, PodId, Stages};
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
    /// How long each stage of its start took; without stages after a restart of this program.
    pub stages: Stages,
    /// The monitor's own account of its launch; none after a restart of this program.
    pub launch: Option<Running>,
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
