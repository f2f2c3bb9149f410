//! Tells the owner when the kernel's OOM killer has been in a container: `memory.events` is signalled with POLLPRI when it changes
//! (cgroup-v2.rst, "Memory Interface Files").

use std::fs::File;

use container::cgroup::Cgroup;
use tokio::{io::Interest, task::AbortHandle};

use super::{Command, Owner};
use crate::{ids::ContainerId, sys};

/// A watching task; dropping it ends the task.
#[derive(Debug)]
pub(super) struct OomWatch(AbortHandle);

impl Drop for OomWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts to watch. None without the memory controller; exits still say what the count says then.
pub(super) fn watch(cgroup: &Cgroup, id: &ContainerId, owner: &Owner) -> Option<OomWatch> {
    let file = File::open(cgroup.memory_events()?).ok()?;
    let changes = sys::watch(file, Interest::PRIORITY).ok()?;
    let (cgroup, id, owner) = (cgroup.clone(), id.clone(), owner.clone());
    let task = tokio::spawn(async move {
        let mut told = 0;
        loop {
            // A read arms the notification (kernfs counts what each open file has seen).
            if std::io::Read::read(&mut changes.get_ref(), &mut [0; 512]).is_err() {
                return;
            }
            drop(std::io::Seek::rewind(&mut changes.get_ref()));
            let kills = cgroup.oom_kills();
            if kills > told {
                told = kills;
                owner
                    .tell(Command::OutOfMemory {
                        id: id.clone(),
                        kills,
                    })
                    .await;
            }
            match changes.ready(Interest::PRIORITY).await {
                Ok(mut guard) => guard.clear_ready(),
                Err(_gone) => return,
            }
        }
    });
    Some(OomWatch(task.abort_handle()))
}
