//! The content-addressed image store on disk.
//!
//! Main type: [`Store`]. Everything blocks.

use std::fs::File;
use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;
use serde::Serialize;

use crate::digest::Digest;
use crate::reference::Reference;

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No image has this name, digest or id prefix.
    #[error(
        "no image `{0}` in the store; see `cofferdam image ls`, or add it with `cofferdam image import`"
    )]
    NotFound(String),
    /// Not written yet.
    #[error("{0} is not there yet")]
    NotYet(&'static str),
}

/// One imported image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the image configuration, which is how docker and CRI name an image.
    pub id: Digest,
    /// Every name that points here, sorted.
    pub names: Vec<Reference>,
    /// Digest of the image manifest; of the configuration where the archive had no manifest.
    pub digest: Digest,
    /// Bytes of the image's blobs on disk; layers shared with other images count in each.
    pub size: u64,
    /// When the image was built, RFC 3339, as its maker says.
    pub created: Option<String>,
    /// Env, Cmd, Entrypoint, WorkingDir, User, StopSignal and the rest.
    pub config: ImageConfiguration,
}

/// One file of the device that a VM sees; the device is all segments end to end.
#[derive(Debug)]
pub struct Segment {
    /// Open for reading only.
    pub file: File,
    /// Where the file is, for messages.
    pub path: PathBuf,
    /// Its length, a multiple of 4096.
    pub length_bytes: u64,
}

/// A root file system ready for use. While it lives, its image cannot be removed.
#[derive(Debug)]
pub struct Rootfs {
    /// What lies end to end on the device.
    pub segments: Vec<Segment>,
    /// Digest of the merged metadata, which fixes all content.
    pub digest: Digest,
    /// Bytes of the whole device.
    pub size: u64,
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
    /// Disk space given back; 0 also where an import was under way, whose end gives it back.
    pub freed_bytes: u64,
}

/// A folder with images. Cheap to clone in spirit: opening it again costs one sweep.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store in `root`, making it if it is not there, and sweeps what a killed import left.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Imports one image. `name` is added to the names that the archive itself gives.
    pub fn import(
        &self,
        _source: &Path,
        _name: Option<Reference>,
        _progress: &mut dyn FnMut(Progress),
    ) -> Result<Image, StoreError> {
        Err(StoreError::NotYet("import"))
    }

    /// All images, sorted by id.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        Ok(Vec::new())
    }

    /// Finds an image by name, digest, id or unique id prefix.
    pub fn resolve(&self, what: &str) -> Result<Image, StoreError> {
        Err(StoreError::NotFound(what.to_owned()))
    }

    /// Removes a name; with its last name (or when given by id) the image goes, with all blobs that
    /// no other image needs.
    pub fn remove(&self, what: &str) -> Result<Removed, StoreError> {
        Err(StoreError::NotFound(what.to_owned()))
    }

    /// Opens the files that make up the image's device.
    pub fn open_rootfs(&self, image: &Image) -> Result<Rootfs, StoreError> {
        Err(StoreError::NotFound(format!(
            "{} in {}",
            image.id,
            self.root.display()
        )))
    }
}
