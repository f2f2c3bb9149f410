//! The pod's volumes: named trees that its containers mount. Main type: [`Volumes`]. Above: `rpc` and `start`. Each has a folder in the
//! agent's state:
//!
//! ```text
//! <state>/.volumes/<id>/           a tmpfs; for a disk, a share, a socket or huge pages an empty folder
//!                       new/       a tree that is being written
//!                       content/   what containers see; it is there when the volume is
//! <state>/.shares                  the pod's virtio-fs, mounted when the first share is
//! ```

mod bind;
mod disk;
mod huge_pages;
mod mount;
mod root;
mod socket;
mod swap;
mod tree;

use std::{
    collections::HashMap,
    fs::{self, DirBuilder},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent::{MAX_READ_BYTES, MAX_VOLUME_BYTES, MAX_VOLUME_ENTRIES, agent as wire};
use tokio::net::UnixListener;

use self::socket::Sockets;
pub(crate) use self::{
    bind::{VolumeMount, release},
    disk::DiskVolumePlan,
    huge_pages::HugePagesPlan,
    socket::SocketPlan,
};
use crate::{
    devices::{self, PciAddress},
    fault::{Fault, FaultKind},
    host_mounts::HostMounts,
    ids::VolumeId,
    image_files::ImageFiles,
    start::blocking,
};

/// No container's id begins with a dot.
const FOLDER: &str = ".volumes";
const SHARES: &str = ".shares";

const NEW: &str = "new";
const CONTENT: &str = "content";

/// Room in a volume of files: for its tree and the one that replaces it.
const FILES_BYTES: u64 = 2 * MAX_VOLUME_BYTES;

/// All of them. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Volumes {
    state: PathBuf,
    /// On a host whose mounts are not the agent's.
    host: Option<Arc<HostMounts>>,
    /// Trees that are being written. Whoever works on volumes holds it, on a thread for blocking work.
    unfinished: Arc<Mutex<HashMap<VolumeId, Unfinished>>>,
    sockets: Sockets,
}

/// How far the writing of a tree is.
#[derive(Debug, Default)]
struct Unfinished {
    parts: u32,
    bytes: u64,
    entries: usize,
    /// The volume is there and is none whose tree is replaced.
    dropped: bool,
}

impl Volumes {
    pub(crate) fn below(state: &Path, host: Option<HostMounts>) -> Self {
        Self {
            state: state.to_owned(),
            host: host.map(Arc::new),
            unfinished: Arc::default(),
            sockets: Sockets::default(),
        }
    }

    /// Takes one part of a tree; with the last one the volume is there.
    pub(crate) async fn write(&self, request: wire::WriteVolumeRequest) -> Result<(), Fault> {
        let id = VolumeId::parse(&request.volume_id)?;
        let entries = tree::parse(request.entries)?;
        let part = Part {
            number: request.part,
            last: request.last,
            size_bytes: match request.size_bytes {
                0 => FILES_BYTES,
                bytes => bytes,
            },
            entries,
        };
        let this = self.clone();
        blocking(move || this.take_part(&id, &part)).await
    }

    /// Mounts a disk or a share.
    pub(crate) async fn mount(
        &self,
        id: VolumeId,
        address: PciAddress,
        share: String,
        deadline: Duration,
    ) -> Result<(), Fault> {
        if !share.is_empty() {
            // The same characters: it is one name.
            VolumeId::parse(&share)?;
        }
        if share.is_empty() {
            let named = format!("the device at {address}");
            let disk = devices::add_disk(address, &named, deadline).await?;
            return self
                .put(id, move |content| mount::image(&disk, content))
                .await;
        }
        devices::add(address, deadline).await?;
        let shares = self.state.join(SHARES);
        self.put(id, move |content| mount::share(&shares, &share, content))
            .await
    }

    /// Mounts an image of the host's.
    pub(crate) async fn mount_files(&self, id: VolumeId, files: ImageFiles) -> Result<(), Fault> {
        self.put(id, move |content| mount::image_files(&files, content))
            .await
    }

    /// Mounts a disk with a file system of the volume's own.
    pub(crate) async fn mount_disk(
        &self,
        id: VolumeId,
        address: PciAddress,
        plan: DiskVolumePlan,
        deadline: Duration,
    ) -> Result<(), Fault> {
        let named = format!("the disk of a volume at {address}");
        let disk = devices::add_disk(address, &named, deadline).await?;
        self.put(id, move |content| plan.mount(&disk, content))
            .await
    }

    /// Writes out what the guest's cache has of the volume's file system.
    pub(crate) async fn sync(&self, id: VolumeId) -> Result<(), Fault> {
        let content = self.content(&id)?;
        blocking(move || {
            let folder = fs::File::open(&content);
            let synced = folder.and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
            synced.map_err(failed(&format!("write volume {id} out")))
        })
        .await
    }

    /// Mounts huge pages of the guest.
    pub(crate) async fn mount_huge_pages(
        &self,
        id: VolumeId,
        plan: HugePagesPlan,
    ) -> Result<(), Fault> {
        self.put(id, move |content| plan.mount(content)).await
    }

    /// Makes a socket that the host answers.
    pub(crate) async fn listen(&self, id: VolumeId, plan: SocketPlan) -> Result<(), Fault> {
        let (sockets, name) = (self.sockets.clone(), id.clone());
        self.put(id, move |content| sockets.bind(name, &plan, content))
            .await
    }

    /// What processes connect to, if the volume is a socket.
    pub(crate) fn listener(&self, id: &VolumeId) -> Option<Arc<UnixListener>> {
        self.sockets.get(id)
    }

    /// Where the volume is there already, it stays.
    async fn put(
        &self,
        id: VolumeId,
        mount: impl FnOnce(&Path) -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        let this = self.clone();
        let folder = self.folder(&id);
        blocking(move || {
            let _turn = this.turn();
            let content = folder.join(CONTENT);
            if content.exists() {
                return Ok(());
            }
            make_folder(&folder)?;
            let mounted = mount(&content);
            if mounted.is_err() {
                // The first error is the one to report.
                drop(mount::remove(&folder));
            }
            mounted
        })
        .await
    }

    /// The end of a regular file.
    pub(crate) async fn read(
        &self,
        id: VolumeId,
        path: &str,
        max_bytes: u32,
    ) -> Result<Vec<u8>, Fault> {
        let path = tree::checked_path(path)?;
        let max_bytes = u64::from(max_bytes.min(MAX_READ_BYTES));
        let content = self.content(&id)?;
        blocking(move || {
            let attempt = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => {
                    Fault::not_found(format!("volume {id} has no file {path:?}"))
                }
                _ => failed(&format!("read {path:?} of volume {id}"))(error),
            };
            let mut file = tree::open_file(&content, &path).map_err(attempt)?;
            let length = file.metadata().map_err(attempt)?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(max_bytes)))
                .map_err(attempt)?;
            let mut bytes = Vec::new();
            file.take(max_bytes)
                .read_to_end(&mut bytes)
                .map_err(attempt)?;
            Ok(bytes)
        })
        .await
    }

    /// Idempotent.
    pub(crate) async fn remove(&self, id: VolumeId) -> Result<(), Fault> {
        let this = self.clone();
        blocking(move || {
            let mut unfinished = this.turn();
            unfinished.remove(&id);
            this.sockets.remove(&id);
            mount::remove(&this.folder(&id)).map_err(failed(&format!("remove volume {id}")))
        })
        .await
    }

    /// All of them, when the agent of a host ends. Blocks.
    pub(crate) fn remove_all(&self) -> io::Result<()> {
        let _turn = self.turn();
        let all = self.state.join(FOLDER);
        let entries = match fs::read_dir(&all) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            mount::remove(&entry?.path())?;
        }
        mount::remove_shares(&self.state.join(SHARES))?;
        fs::remove_dir(all)
    }

    /// Where the volume's tree is, if it is there.
    fn content(&self, id: &VolumeId) -> Result<PathBuf, Fault> {
        let content = self.folder(id).join(CONTENT);
        if content.exists() {
            Ok(content)
        } else {
            Err(Fault::not_found(format!("no volume {id}")))
        }
    }

    fn folder(&self, id: &VolumeId) -> PathBuf {
        self.state.join(FOLDER).join(id.as_str())
    }

    fn turn(&self) -> MutexGuard<'_, HashMap<VolumeId, Unfinished>> {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take_part(&self, id: &VolumeId, part: &Part) -> Result<(), Fault> {
        let mut unfinished = self.turn();
        let folder = self.folder(id);
        let mut so_far = if part.number == 0 {
            begin(&folder, part.size_bytes)?
        } else {
            let so_far = unfinished.remove(id).unwrap_or_default();
            if so_far.parts != part.number {
                return Err(Fault::precondition(format!(
                    "part {} of volume {id} was not to come now",
                    part.number
                )));
            }
            so_far
        };
        so_far.count(id, part)?;
        let new = folder.join(NEW);
        // The volume may be full: then there is no room for what is dropped in the end.
        let entries = part.entries.iter().filter(|_| !so_far.dropped);
        for entry in entries {
            tree::write(&new, entry).map_err(failed(&format!(
                "write {:?} of volume {id}",
                entry.path.display()
            )))?;
        }
        if !part.last {
            unfinished.insert(id.clone(), so_far);
            return Ok(());
        }
        if so_far.dropped {
            return Ok(());
        }
        finish(&folder).map_err(failed(&format!("put the tree of volume {id} in place")))
    }
}

/// A checked `WriteVolumeRequest`.
struct Part {
    number: u32,
    last: bool,
    size_bytes: u64,
    entries: Vec<tree::Entry>,
}

impl Unfinished {
    fn count(&mut self, id: &VolumeId, part: &Part) -> Result<(), Fault> {
        self.parts += 1;
        self.entries += part.entries.len();
        let bytes: usize = part.entries.iter().map(tree::Entry::content_bytes).sum();
        self.bytes += bytes as u64;
        if self.entries > MAX_VOLUME_ENTRIES || self.bytes > MAX_VOLUME_BYTES {
            return Err(Fault::invalid(format!(
                "the tree of volume {id} is too large: the limits are {MAX_VOLUME_ENTRIES} entries and {MAX_VOLUME_BYTES} bytes"
            )));
        }
        Ok(())
    }
}

/// Makes room for a tree.
fn begin(folder: &Path, size_bytes: u64) -> Result<Unfinished, Fault> {
    let new = folder.join(NEW);
    let content = folder.join(CONTENT);
    if content.exists() && !swap::is_swapped(&content) {
        return Ok(Unfinished {
            dropped: true,
            ..Unfinished::default()
        });
    }
    if folder.exists() {
        gone(fs::remove_dir_all(&new)).map_err(failed("forget an unfinished tree"))?;
    } else {
        make_folder(folder)?;
        let mounted = mount::memory(folder, size_bytes);
        if mounted.is_err() {
            drop(mount::remove(folder));
        }
        mounted?;
    }
    DirBuilder::new()
        .mode(0o755)
        .create(&new)
        .map_err(failed("make the folder of a new tree"))?;
    Ok(Unfinished::default())
}

/// The tree is whole.
fn finish(folder: &Path) -> io::Result<()> {
    let (new, content) = (folder.join(NEW), folder.join(CONTENT));
    if !content.exists() {
        return fs::rename(new, content);
    }
    let swapped = swap::swap(&content, &new);
    fs::remove_dir_all(&new)?;
    swapped
}

fn make_folder(folder: &Path) -> Result<(), Fault> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("make the volume's folder"))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(attempt: &str) -> impl Fn(io::Error) -> Fault {
    let attempt = attempt.to_owned();
    move |error| Fault::new(FaultKind::Internal, format!("{attempt}: {error}"))
}

#[cfg(test)]
mod tests;
