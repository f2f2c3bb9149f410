//! Network namespaces, one per pod, kept by a mount at `<run dir>/netns/<pod>`. Main type: [`Namespaces`]. A thread that enters a
//! namespace is made for it and ends there: it never goes back to a pool. CNI plugins, and whoever else looks, reach a
//! namespace by its path.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    future::Future,
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use model::PodId;
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{Handle, LinkUnspec};
use rustix::{
    fs::{FlockOperation, flock, fstatfs},
    io::Errno,
    mount::{
        MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change,
        unmount,
    },
};
use thiserror::Error;
use tokio::{sync::oneshot, time};

use crate::quiet::{self, QuietError};

/// linux/magic.h.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// `lo` in each namespace (linux/net_namespace: LOOPBACK_IFINDEX).
const LOOPBACK_INDEX: u32 = 1;

/// A namespace that could not be made, entered or removed.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// The kernel refused.
    #[error("{attempt} {}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// A path that leads to something else.
    #[error("{} is no network namespace", path.display())]
    NoNamespace {
        /// The path.
        path: PathBuf,
    },
    /// No thread.
    #[error("start a thread for a network namespace")]
    Thread(#[source] io::Error),
    /// A netlink socket.
    #[error("open a netlink socket in the network namespace")]
    Netlink(#[source] io::Error),
    /// `lo` stays down.
    #[error("bring up lo in the network namespace")]
    Loopback(#[source] rtnetlink::Error),
    /// Its settings.
    #[error("keep the namespace's own stack quiet")]
    Quiet(#[from] QuietError),
    /// Work in it hangs.
    #[error("the work in the network namespace took longer than {} s", limit.as_secs())]
    Late {
        /// How long it had.
        limit: Duration,
    },
}

fn io_error(
    attempt: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> NamespaceError + use<> {
    let path = path.to_owned();
    move |source| NamespaceError::Io {
        attempt,
        path,
        source,
    }
}

/// The folder of all namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces {
    folder: PathBuf,
    limit: Duration,
}

impl Namespaces {
    /// Makes the folder, and a shared mount of it: plugins that run in a mount namespace of their own, such as those in a pod, see
    /// what is mounted in it later, and see it go (mount_namespaces(7)).
    pub(crate) fn open(run_dir: &Path, limit: Duration) -> Result<Self, NamespaceError> {
        let folder = run_dir.join("netns");
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder)
            .map_err(io_error("make the folder", &folder))?;
        let lock = File::open(&folder).map_err(io_error("open the folder", &folder))?;
        // Two that start at the same time would mount it twice.
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| io_error("lock the folder", &folder)(errno.into()))?;
        share(&folder)
            .map_err(|errno| io_error("make a shared mount of", &folder)(errno.into()))?;
        Ok(Self { folder, limit })
    }

    pub(crate) fn path(&self, pod: &PodId) -> PathBuf {
        self.folder.join(pod.as_str())
    }

    /// Makes the pod's namespace, with `lo` up and its own stack quiet.
    pub(crate) async fn create(&self, pod: &PodId) -> Result<(), NamespaceError> {
        let path = self.path(pod);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&path)
            .map_err(io_error("make the file for the network namespace", &path))?;
        let entered = io_error("unshare into the network namespace", &path);
        let enter =
            move || unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| entered(errno.into()));
        let made = path.clone();
        let fill = move || async move {
            mount_bind("/proc/thread-self/ns/net", &made)
                .map_err(|errno| io_error("mount the network namespace", &made)(errno.into()))?;
            quiet::namespace()?;
            let handle = netlink()?;
            let up = LinkUnspec::new_with_index(LOOPBACK_INDEX).up().build();
            let set = handle.link().set(up).execute().await;
            set.map_err(NamespaceError::Loopback)
        };
        let filled = thread_in(self.limit, enter, fill).await;
        let filled = filled.and_then(|filled| filled);
        if filled.is_err() {
            // The first error is the one to report; what can't be removed is found by a sweep.
            drop(self.remove(pod));
        }
        filled
    }

    /// Whether the pod's namespace can be entered. After a reboot its file may be there, without a namespace.
    pub(crate) fn is_there(&self, pod: &PodId) -> bool {
        open(&self.path(pod)).is_ok()
    }

    /// For `CNI_NETNS`: empty where it is gone, from which plugins know what is left to do.
    pub(crate) fn for_plugin(&self, pod: &PodId) -> OsString {
        if self.is_there(pod) {
            self.path(pod).into()
        } else {
            OsString::new()
        }
    }

    /// Runs `work` in the pod's namespace, on a thread of its own.
    pub(crate) async fn inside<T, F, W>(&self, pod: &PodId, work: F) -> Result<T, NamespaceError>
    where
        T: Send + 'static,
        F: FnOnce(Handle) -> W + Send + 'static,
        W: Future<Output = T>,
    {
        let path = self.path(pod);
        let enter = move || {
            let namespace = open(&path)?;
            setns(namespace, CloneFlags::CLONE_NEWNET)
                .map_err(|errno| io_error("enter the network namespace", &path)(errno.into()))
        };
        let work = || async { Ok(work(netlink()?).await) };
        let worked: Result<T, NamespaceError> = thread_in(self.limit, enter, work).await?;
        worked
    }

    /// Removes the pod's namespace, if it is there. What still uses it, such as an open tap, keeps it alive without its name.
    pub(crate) fn remove(&self, pod: &PodId) -> Result<(), NamespaceError> {
        let path = self.path(pod);
        match unmount(&path, UnmountFlags::DETACH) {
            // Not mounted: a reboot, or a creation that went no further than the file.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => {
                return Err(io_error("unmount the network namespace", &path)(
                    errno.into(),
                ));
            }
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(
                "remove the network namespace's file",
                &path,
            )(error)),
            _ => Ok(()),
        }
    }

    /// The pods that have a namespace, or what is left of one.
    pub(crate) fn list(&self) -> Result<Vec<PodId>, NamespaceError> {
        let entries = fs::read_dir(&self.folder);
        let entries = entries.map_err(io_error("read the folder", &self.folder))?;
        let mut pods = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("read the folder", &self.folder))?;
            // Names that are no pod's are not ours.
            let name = entry.file_name().into_string().ok();
            pods.extend(name.and_then(|name| name.parse::<PodId>().ok()));
        }
        pods.sort();
        Ok(pods)
    }
}

/// Only a mount can be shared; a folder that isn't one is mounted on itself.
fn share(folder: &Path) -> rustix::io::Result<()> {
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match mount_change(folder, shared) {
        Err(Errno::INVAL) => {
            mount_bind_recursive(folder, folder)?;
            mount_change(folder, shared)
        }
        other => other,
    }
}

fn open(path: &Path) -> Result<File, NamespaceError> {
    let file = File::open(path).map_err(io_error("open the network namespace", path))?;
    let about = fstatfs(&file).map_err(|errno| io_error("look at", path)(errno.into()))?;
    if u64::try_from(about.f_type).is_ok_and(|kind| kind == NSFS_MAGIC) {
        Ok(file)
    } else {
        let path = path.to_owned();
        Err(NamespaceError::NoNamespace { path })
    }
}

/// A netlink connection to the namespace of this thread, served by this thread's runtime.
fn netlink() -> Result<Handle, NamespaceError> {
    let (connection, handle, _unasked) =
        rtnetlink::new_connection().map_err(NamespaceError::Netlink)?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Starts a thread that calls `enter`, then runs `work` to its end, and ends. Whoever waits stops waiting at the limit, and so does
/// the work, wherever it awaits.
async fn thread_in<T, F, W>(
    limit: Duration,
    enter: impl FnOnce() -> Result<(), NamespaceError> + Send + 'static,
    work: F,
) -> Result<T, NamespaceError>
where
    T: Send + 'static,
    F: FnOnce() -> W + Send + 'static,
    W: Future<Output = T>,
{
    let (answer, wait) = oneshot::channel();
    let body = move || {
        let worked = enter().and_then(|()| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(NamespaceError::Thread)?;
            // The timer starts in the runtime.
            let bounded = async { time::timeout(limit, work()).await };
            runtime
                .block_on(bounded)
                .map_err(|_elapsed| NamespaceError::Late { limit })
        });
        // Nobody waits any more: then what was made is dropped here.
        drop(answer.send(worked));
    };
    thread::Builder::new()
        .name("netns".to_owned())
        .spawn(body)
        .map_err(NamespaceError::Thread)?;
    // The kernel may hold the thread where it doesn't await.
    match time::timeout(limit.saturating_mul(2), wait).await {
        Ok(Ok(worked)) => worked,
        Ok(Err(_gone)) => Err(NamespaceError::Thread(io::ErrorKind::BrokenPipe.into())),
        Err(_elapsed) => Err(NamespaceError::Late { limit }),
    }
}

#[cfg(test)]
mod tests;
