//! The image store on disk: content-addressed, deduplicated, safe to kill at any instant.
//!
//! Main type: [`Store`]. Layout of the folder:
//!
//! ```text
//! format                       the number of this layout
//! blobs/sha256/<diff_id>.erofs one layer each, by digest of its unpacked tar
//! merged/sha256/<stack>.erofs  metadata of one stack of layers
//! images/sha256/<id>.json      one record an image: the only thing that makes the rest count
//! images/sha256/<id>.held      record of a removed image that a container still runs from
//! tmp/                         imports under way
//! imports.lock, records.lock   flock(2)
//! ```
//!
//! An intake (of an import or a pull) writes below `tmp/` under a shared lock on `imports.lock`, syncs, renames blobs
//! into place and last its record: before that rename the image is not there, after it is. Whoever can
//! lock `imports.lock` exclusively knows that nobody imports, and sweeps `tmp/` and every blob that
//! no record names. A [`Rootfs`] holds a shared lock on its merged metadata file, which is segment 0
//! of the device: the lock lives as long as any process has that descriptor, the monitor included.
//! Rooms: `intake`, `import`, `record`, `lock`, `remove`, `rootfs`, `image`, `usage`. Below: `source`, `layer`, `merge`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::digest::Digest;
use crate::erofs::ErofsError;
use crate::layer::LayerError;
use crate::reference::Reference;
use crate::source::SourceError;

mod image;
mod import;
mod intake;
mod lock;
mod record;
mod remove;
mod rootfs;
mod usage;

pub use image::{Image, ImageUser};
pub use intake::Intake;
use record::Records;
pub use rootfs::{Rootfs, Segment};
pub use usage::Usage;

const FORMAT: &str = "1\n";

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No image has this name, digest or id prefix.
    #[error(
        "no image `{0}` in the store; see what there is with `cofferdam image ls`, \
         or add it with `cofferdam image pull` or `cofferdam image import`"
    )]
    NotFound(String),
    /// More than one image's id starts so.
    #[error("`{prefix}` is the start of several image ids: {ids}")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The ids.
        ids: String,
    },
    /// A running container has the image's root file system.
    #[error("image {0} is in use; stop the containers that run from it first")]
    InUse(Digest),
    /// Another process holds a lock of the store for long.
    #[error(
        "the store is busy: {path} has been locked by another process for {seconds} s; try again later"
    )]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// A folder written by another version.
    #[error(
        "{path} is an image store of another version; move it away and import the images again"
    )]
    Format {
        /// The store.
        path: PathBuf,
    },
    /// A file operation.
    #[error("{attempt} {path}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A record or blob is not as it was written.
    #[error("{path} is damaged: {problem}; remove the image and import it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Metadata of an earlier version.
    #[error(
        "{path} was written by a version that knew no pods on the host; remove the image and pull or import it again"
    )]
    NotForHost {
        /// The metadata.
        path: PathBuf,
    },
    /// The archive is refused.
    #[error("read an image from {path}")]
    Source {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<SourceError>,
    },
    /// The name given is pinned to another digest.
    #[error("the name {name} is pinned to another image than the one in the archive, {digest}")]
    Pinned {
        /// The name.
        name: Box<Reference>,
        /// Digest of the archive's manifest.
        digest: Digest,
    },
    /// A layer is refused.
    #[error("import layer {number} ({diff_id}) of {origin}")]
    Layer {
        /// The archive, or the image's name.
        origin: String,
        /// Counts from 1, bottom first.
        number: usize,
        /// Its digest by the configuration.
        diff_id: Digest,
        /// Why.
        #[source]
        source: Box<LayerError>,
    },
    /// An image is to be committed before its layers.
    #[error("layer {diff_id} of {origin} is not in the store")]
    LayerMissing {
        /// The archive, or the image's name.
        origin: String,
        /// The layer.
        diff_id: Digest,
    },
    /// The layers could not be merged.
    #[error("merge the layers of {origin}")]
    Merge {
        /// The archive, or the image's name.
        origin: String,
        /// Why.
        #[source]
        source: ErofsError,
    },
}

impl StoreError {
    /// Whether the disk, or a quota on it, is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let first: &(dyn std::error::Error + 'static) = self;
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        std::iter::successors(Some(first), |error| error.source())
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(full)
    }

    /// Whether the image itself is at fault, and would be anywhere.
    #[must_use]
    pub fn is_bad_content(&self) -> bool {
        match self {
            Self::Source { .. } | Self::Pinned { .. } | Self::Merge { .. } => true,
            Self::Layer { source, .. } => {
                !matches!(**source, LayerError::Read(_) | LayerError::Write(_))
            }
            _ => false,
        }
    }
}

/// What an import is doing, for a progress line.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A layer that the store has already.
    LayerReused {
        /// Counts from 0.
        index: usize,
        /// Layers of the image.
        count: usize,
        /// Digest of the unpacked layer.
        diff_id: Digest,
    },
    /// A layer is being read.
    Layer {
        /// Counts from 0.
        index: usize,
        /// Layers of the image.
        count: usize,
        /// Digest of the unpacked layer.
        diff_id: Digest,
        /// Packed bytes read until now.
        read_bytes: u64,
        /// Packed bytes of the layer.
        total_bytes: u64,
    },
    /// The layers are being merged.
    Merging,
}

/// What a removal did.
#[derive(Clone, Debug, Serialize)]
pub struct Removed {
    /// Names that are gone.
    pub names: Vec<Reference>,
    /// The image, if nothing named it any more.
    pub image: Option<Digest>,
    /// Disk space given back; 0 also where an import was under way, after which the next open or
    /// removal gives it back.
    pub freed_bytes: u64,
}

/// A folder with images. Any number of processes may have it open.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store in `root`, making it if it is not there, and sweeps what a killed import left.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self {
            root: root.to_owned(),
        };
        for folder in [
            store.blobs(),
            store.merged(),
            store.images(),
            store.temporary(),
        ] {
            std::fs::create_dir_all(&folder).map_err(io_error("create folder", &folder))?;
        }
        restrict(root)?;
        store.check_format()?;
        store.reclaim()?;
        Ok(store)
    }

    /// Imports one image. `name` chooses among several images of the archive, and is given to the
    /// image beside the names that the archive itself has. An image that is there is imported again
    /// at little cost.
    pub fn import(
        &self,
        source: &Path,
        name: Option<Reference>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image, StoreError> {
        import::import(self, source, name, progress)
    }

    /// All images, sorted by id.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        Records::load(self)?.images()
    }

    /// Finds an image by name, digest, id or unique start of an id.
    pub fn resolve(&self, what: &str) -> Result<Image, StoreError> {
        let records = Records::load(self)?;
        let id = records.find(what)?;
        records.image(id)
    }

    /// Starts to write an image that arrives piece by piece. `origin` names it in messages.
    pub fn intake(&self, origin: &str) -> Result<Intake, StoreError> {
        Intake::new(self, origin.to_owned())
    }

    /// Removes a tag; with its last tag (or when given by id or digest) the image goes, with all blobs that no other image
    /// needs. An image in use stays.
    pub fn remove(&self, what: &str) -> Result<Removed, StoreError> {
        remove::remove(self, what)
    }

    /// Removes the image with all its names, whichever is given. Where a container still runs from it, its blobs stay until
    /// a [`Store::reclaim`] after that.
    pub fn remove_image(&self, what: &str) -> Result<Removed, StoreError> {
        remove::remove_image(self, what)
    }

    /// Marks an image as one that garbage collectors leave alone. A removal by hand still removes it.
    pub fn pin(&self, what: &str) -> Result<(), StoreError> {
        record::change(self, what, |record| record.pinned = true)
    }

    /// Undoes [`Store::pin`].
    pub fn unpin(&self, what: &str) -> Result<(), StoreError> {
        record::change(self, what, |record| record.pinned = false)
    }

    /// Disk space and inodes that the store takes.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        usage::usage(self)
    }

    /// Opens the files that make up the image's device.
    pub fn open_rootfs(&self, image: &Image) -> Result<Rootfs, StoreError> {
        rootfs::open(self, image.id)
    }

    /// Where the store is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn merged(&self) -> PathBuf {
        self.root.join("merged/sha256")
    }

    fn images(&self) -> PathBuf {
        self.root.join("images/sha256")
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn blob(&self, diff_id: Digest) -> PathBuf {
        self.blobs().join(format!("{}.erofs", diff_id.hex()))
    }

    fn merged_blob(&self, stack: Digest) -> PathBuf {
        self.merged().join(format!("{}.erofs", stack.hex()))
    }

    fn record(&self, id: Digest) -> PathBuf {
        self.images().join(format!("{}.json", id.hex()))
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.root.join("format");
        match std::fs::read_to_string(&path) {
            Ok(format) if format == FORMAT => Ok(()),
            Ok(_) => Err(StoreError::Format {
                path: self.root.clone(),
            }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                std::fs::write(&path, FORMAT).map_err(io_error("write", &path))
            }
            Err(source) => Err(io_error("read", &path)(source)),
        }
    }

    /// Removes what a killed import left and what neither an image nor a container needs, unless someone is importing.
    /// Gives the bytes of disk that are free now.
    pub fn reclaim(&self) -> Result<u64, StoreError> {
        match lock::try_exclusive(&self.imports_lock())? {
            Some(_lock) => remove::sweep(self),
            None => Ok(0),
        }
    }

    fn imports_lock(&self) -> PathBuf {
        self.root.join("imports.lock")
    }

    fn records_lock(&self) -> PathBuf {
        self.root.join("records.lock")
    }
}

/// Images may hold set-user-ID programs and secrets; only the store's owner looks inside.
fn restrict(root: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(root, permissions).map_err(io_error("restrict access to", root))
}

/// For `map_err`.
fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        attempt,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
