//! The one teardown. It serves the failed start, the stop and the guest that ended by itself; the sweep in `record` does the same from
//! the outside for an owner that died. Main type: [`Held`], everything a pod has on the host.

use std::sync::Arc;

use model::PodId;
use vm_client::{Ending, Monitor};

use crate::{Deadlines, cgroup::Cgroup, error::PodError, record::RunFolder, scratch::Scratch};

/// Everything that a pod has on the host while its VM lives, acquired from top to bottom and given back from bottom to top.
pub(crate) struct Held {
    pub(crate) pod: PodId,
    pub(crate) folder: RunFolder,
    /// None on a host without cgroup v2.
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) monitor: Option<Arc<Monitor>>,
    /// None for a pod whose writable layers lie in its memory.
    pub(crate) scratch: Option<Scratch>,
}

/// Ends the VM, if it runs, and removes all that the pod had on the host. Says how the VM ended.
///
/// # Errors
/// When the cgroup, the scratch disk or the run folder stays; a sweep tries again, for which the folder stays with them.
pub(crate) async fn teardown(held: Held, deadlines: Deadlines) -> Result<Option<Ending>, PodError> {
    let ending = match &held.monitor {
        Some(monitor) => Some(monitor.stop(deadlines.stop).await),
        None => None,
    };
    drop(held.monitor);
    if let Some(cgroup) = &held.cgroup {
        let removed = cgroup.remove(deadlines.stop).await;
        removed.map_err(PodError::Cgroup)?;
    }
    if let Some(scratch) = &held.scratch {
        scratch.remove().map_err(PodError::Scratch)?;
    }
    let removed = held.folder.remove().map_err(PodError::Folder);
    tracing::debug!(pod = %held.pod, ?ending, "torn down");
    removed.map(|()| ending)
}
