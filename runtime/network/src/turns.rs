//! Who may touch which pod's network. Main type: [`Turns`]. Operations on one pod come one after the other, as the CNI specification
//! asks; a collection comes when nothing else runs, for a plugin would take an attachment in the making for a forgotten one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::PodId;
use tokio::{
    sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
    time,
};

/// The turns of one node.
#[derive(Debug)]
pub(crate) struct Turns {
    limit: Duration,
    everything: Arc<RwLock<()>>,
    // A std mutex around single accesses to the maps, never held while something is awaited.
    pods: Mutex<Pods>,
}

#[derive(Debug, Default)]
struct Pods {
    locks: BTreeMap<PodId, Arc<tokio::sync::Mutex<()>>>,
    /// Those that this process has set up: they have an owner who tears them down.
    owned: BTreeSet<PodId>,
}

/// A turn on one pod; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _pod: OwnedMutexGuard<()>,
    _everything: OwnedRwLockReadGuard<()>,
}

/// A turn on all pods.
#[derive(Debug)]
pub(crate) struct WholeTurn {
    _everything: OwnedRwLockWriteGuard<()>,
}

/// The wait for a turn was too long.
#[derive(Debug)]
pub(crate) struct TooLate;

impl Turns {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            everything: Arc::default(),
            pods: Mutex::default(),
        }
    }

    pub(crate) async fn take(&self, pod: &PodId) -> Result<Turn, TooLate> {
        let lock = {
            let mut pods = self.pods();
            // Those that nobody holds or waits for.
            pods.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(pods.locks.entry(pod.clone()).or_default())
        };
        let both = async {
            // In this order: who waits for a pod does not keep a collection waiting.
            let pod = lock.lock_owned().await;
            let everything = Arc::clone(&self.everything).read_owned().await;
            Turn {
                _pod: pod,
                _everything: everything,
            }
        };
        time::timeout(self.limit, both)
            .await
            .map_err(|_elapsed| TooLate)
    }

    pub(crate) async fn take_all(&self) -> Result<WholeTurn, TooLate> {
        let everything = Arc::clone(&self.everything).write_owned();
        let everything = time::timeout(self.limit, everything).await;
        Ok(WholeTurn {
            _everything: everything.map_err(|_elapsed| TooLate)?,
        })
    }

    pub(crate) fn own(&self, pod: &PodId) {
        self.pods().owned.insert(pod.clone());
    }

    pub(crate) fn disown(&self, pod: &PodId) {
        self.pods().owned.remove(pod);
    }

    pub(crate) fn is_owned(&self, pod: &PodId) -> bool {
        self.pods().owned.contains(pod)
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        // No access can leave the maps half-changed.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
