//! The one teardown. It serves the failed start, the stop and the guest that ended by itself; the sweep in `record` does the same from
//! the outside for an owner that died. Main type: [`Held`], everything a pod has on the host.

use model::PodId;

use crate::{
    Deadlines,
    cgroup::Cgroup,
    error::PodError,
    home::{Ended, Home, HostRecord},
    record::RunFolder,
    scratch::Scratch,
};

/// Everything that a pod has on the host while it lives, acquired from top to bottom and given back from bottom to top.
pub(crate) struct Held {
    pub(crate) pod: PodId,
    pub(crate) folder: RunFolder,
    /// None on a host without cgroup v2.
    pub(crate) cgroup: Option<Cgroup>,
    /// None for a pod whose writable layers do not lie on such a disk.
    pub(crate) scratch: Option<Scratch>,
    /// Of a pod on the node.
    pub(crate) host: Option<HostRecord>,
    pub(crate) home: Option<Home>,
}

/// Ends what the pod lives in, if it runs, and removes all that the pod had on the host.
///
/// # Errors
/// When the cgroup, the scratch disk, a writable layer or the run folder stays; a sweep tries again, for which the folder stays with the others.
pub(crate) async fn teardown(held: Held, deadlines: Deadlines) -> Result<(), PodError> {
    let ended = match &held.home {
        Some(home) => Some(home.stop(deadlines.stop).await),
        None => None,
    };
    let ended = ended.as_ref().map(Ended::cause);
    drop(held.home);
    if let Some(cgroup) = &held.cgroup {
        let removed = cgroup.remove(deadlines.stop).await;
        removed.map_err(PodError::Cgroup)?;
    }
    if let Some(scratch) = &held.scratch {
        scratch.remove().map_err(PodError::Scratch)?;
    }
    if let Some(host) = held.host {
        remove_layers(host).await?;
    }
    let removed = held.folder.remove().map_err(PodError::Folder);
    tracing::debug!(pod = %held.pod, ended, "torn down");
    removed
}

/// After all of the pod's processes: they wrote to them.
pub(crate) async fn remove_layers(host: HostRecord) -> Result<(), PodError> {
    let removed = tokio::task::spawn_blocking(move || host.remove_layers()).await;
    let removed = removed.map_err(|_runtime_ends| PodError::TornDown)?;
    removed.map_err(PodError::HostAgent)
}
