//! What the agent and the process that makes a pod's namespaces say to each other. Main types: [`Order`], [`Answer`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::NamespacesPlan;
use crate::failure::Failure;

/// The first message: a plan without the maps, which only the agent may write.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) pid: bool,
    pub(super) user: bool,
    pub(super) hostname: String,
    pub(super) ipc_sysctls: Vec<(PathBuf, String)>,
}

/// The agent has written the maps.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mapped;

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The user namespace is there, without maps.
    Unshared,
    /// All is there.
    Started {
        pid: u32,
    },
    Failed(Failure),
}

impl Order {
    pub(super) fn of(plan: &NamespacesPlan) -> Self {
        Self {
            pid: plan.pid,
            user: plan.user.is_some(),
            hostname: plan.hostname.clone(),
            ipc_sysctls: plan.ipc_sysctls.clone(),
        }
    }
}
