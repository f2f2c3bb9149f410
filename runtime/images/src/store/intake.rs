//! Writes an image that arrives piece by piece: its layers in any order and from any thread, then the image.
//!
//! Main type: [`Intake`]. While one lives nobody sweeps, so that a layer it has seen or added stays. A layer goes into
//! place as soon as it is whole and right; the image counts when its record is there. When the last intake of the store
//! is dropped, whatever no record names goes: so a failed or abandoned pull leaves nothing, and a killed one leaves it to
//! the next sweep. Above: `import`, and `registry` through the store. Below: `layer`, `merge`, `record`.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::lock::{self, Lock};
use super::record::{self, Blob, Record};
use super::{Image, Store, StoreError, io_error};
use crate::digest::{Digest, HashingWriter};
use crate::erofs::read;
use crate::layer::{self, LayerLimits, LayerStream};
use crate::limits;
use crate::merge::{self, LayerBlob, Merged};
use crate::reference::Reference;
use crate::source::documents::{ImagePlan, PlannedLayer};

/// An image on its way into the store. Dropping it gives up what is not committed.
#[derive(Debug)]
pub struct Intake {
    store: Store,
    /// Where the image comes from, for messages.
    origin: String,
    // Fields go in this order: the files, the lock that keeps others from sweeping, the sweep.
    folder: Folder,
    _importing: Lock,
    _sweep: SweepAtEnd,
}

/// An image's documents, less what an archive may not have.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) id: Digest,
    pub(super) manifest: Option<Digest>,
    pub(super) config_text: String,
    /// Bottom first.
    pub(super) diff_ids: Vec<Digest>,
}

impl Intake {
    pub(super) fn new(store: &Store, origin: String) -> Result<Self, StoreError> {
        // Before the lock: where the lock fails there is nothing to sweep.
        let sweep = SweepAtEnd(store.clone());
        let importing = lock::shared(&store.imports_lock())?;
        Ok(Self {
            store: store.clone(),
            origin,
            folder: Folder::new(store)?,
            _importing: importing,
            _sweep: sweep,
        })
    }

    /// Whether the store has the layer. If so it keeps it as long as this intake lives.
    pub fn has_layer(&self, diff_id: Digest) -> Result<bool, StoreError> {
        Ok(self.layer_blob(diff_id)?.is_some())
    }

    /// Reads a packed layer to its end, converts it while it arrives, checks both digests, and puts it into place. On an
    /// error nothing of it is kept. `number` counts from 1, bottom first, and is for messages; `progress` gets the packed
    /// bytes read until now.
    pub fn add_layer(
        &self,
        layer: &PlannedLayer,
        number: usize,
        packed: impl Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let stream = LayerStream {
            packed,
            promised: Some((layer.packed.digest, layer.packed.size)),
            label: Some(layer.packing),
            diff_id: layer.diff_id,
        };
        self.convert(stream, number, progress)
    }

    /// Makes the image count, under these names: one with a digest becomes a repo digest, any other takes its tag from
    /// whatever image had it. All layers must be there.
    pub fn commit(&self, plan: &ImagePlan, names: &[Reference]) -> Result<Image, StoreError> {
        let documents = Documents {
            id: plan.id,
            manifest: plan.manifest,
            config_text: plan.config_text.clone(),
            diff_ids: plan.layers.iter().map(|layer| layer.diff_id).collect(),
        };
        self.commit_documents(documents, names)
    }

    /// A folder that goes with the intake.
    pub(super) fn scratch(&self) -> &Path {
        &self.folder.0
    }

    pub(super) fn convert<R: Read>(
        &self,
        stream: LayerStream<R>,
        number: usize,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let diff_id = stream.diff_id;
        let (temporary, file) = self.folder.create(&diff_id.hex())?;
        let converted = layer::convert(stream, file, LayerLimits::default(), progress);
        let converted = converted.map_err(|source| StoreError::Layer {
            origin: self.origin.clone(),
            number,
            diff_id,
            source: Box::new(source),
        });
        let synced = converted.and_then(|converted| {
            let synced = converted.blob.sync_all();
            synced.map_err(io_error("sync", &temporary))
        });
        if synced.is_err() {
            // The disk may be full; what this fails to remove goes with the folder.
            fs::remove_file(&temporary).ok();
        }
        synced?;
        publish(&temporary, &self.store.blob(diff_id))
    }

    pub(super) fn commit_documents(
        &self,
        documents: Documents,
        names: &[Reference],
    ) -> Result<Image, StoreError> {
        let layers = documents.diff_ids.iter().map(|diff_id| {
            let missing = || StoreError::LayerMissing {
                origin: self.origin.clone(),
                diff_id: *diff_id,
            };
            self.layer_blob(*diff_id)?.ok_or_else(missing)
        });
        let layers: Vec<_> = layers.collect::<Result<_, StoreError>>()?;
        let stack = merge::stack_digest(layers.iter().map(|layer| layer.diff_id));
        let (metadata, segments) = self.merge(&layers, stack)?;
        record::sync_folder(&self.store.blobs())?;
        record::sync_folder(&self.store.merged())?;
        let record = Record {
            id: documents.id,
            manifest: documents.manifest,
            names: Vec::new(),
            digests: Vec::new(),
            pinned: false,
            config: documents.config_text,
            diff_ids: documents.diff_ids,
            stack,
            metadata,
            segments: segments.into_iter().map(Blob::from).collect(),
        };
        record::commit(&self.store, record, names)
    }

    /// A blob that is in place. Nobody sweeps while we live.
    pub(super) fn layer_blob(&self, diff_id: Digest) -> Result<Option<LayerBlob>, StoreError> {
        let path = self.store.blob(diff_id);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(LayerBlob {
                diff_id,
                length: metadata.len(),
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("look at", &path)(error)),
        }
    }

    /// Writes the merged metadata. It is made anew each time: cheap, and its segments are known then.
    fn merge(
        &self,
        layers: &[LayerBlob],
        stack: Digest,
    ) -> Result<(Blob, Vec<LayerBlob>), StoreError> {
        let failed = |source| StoreError::Merge {
            origin: self.origin.clone(),
            source,
        };
        let mut merged = Merged::new();
        for layer in layers {
            let path = self.store.blob(layer.diff_id);
            let file = File::open(&path).map_err(io_error("open", &path))?;
            let blob = read::Blob::open(&file, layer.length).map_err(failed)?;
            if blob.superblock.blocks_bytes() != layer.length {
                let problem = format!("it has {} bytes, which is not all", layer.length);
                return Err(StoreError::Damaged { path, problem });
            }
            merged.add(&blob.tree().map_err(failed)?);
        }
        let (temporary, file) = self.folder.create(&format!("{}.merged", stack.hex()))?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(1 << 20, file));
        let device = merged.write(layers, &stack, &mut out).map_err(failed)?;
        out.flush().map_err(io_error("write", &temporary))?;
        let (file, digest) = out.finish();
        let synced = file.get_ref().sync_all();
        synced.map_err(io_error("sync", &temporary))?;
        publish(&temporary, &self.store.merged_blob(stack))?;
        let length = device.metadata_length;
        Ok((Blob { digest, length }, device.segments))
    }
}

/// Moves a finished file into place. One that is there is the same, and is kept: others may hold locks on it.
fn publish(from: &Path, to: &Path) -> Result<(), StoreError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => fs::remove_file(from).map_err(io_error("remove", from)),
        Err(errno) => Err(io_error("rename into place", to)(errno.into())),
    }
}

/// A folder below `tmp/` that goes when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new(store: &Store) -> Result<Self, StoreError> {
        let parent = store.temporary();
        let mut last = None;
        for number in 0..limits::NAME_TRIES {
            let path = parent.join(format!("import-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => last = Some(error),
            }
        }
        let source = last.unwrap_or_else(|| std::io::ErrorKind::AlreadyExists.into());
        Err(io_error("create a folder in", &parent)(source))
    }

    fn create(&self, name: &str) -> Result<(PathBuf, File), StoreError> {
        let path = self.0.join(name);
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(io_error("create", &path))?;
        Ok((path, file))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            // The next sweep takes it.
            tracing::warn!(path = %self.0.display(), %error, "left a temporary folder behind");
        }
    }
}

/// Sweeps when it is dropped, unless someone else is importing: then that one will.
#[derive(Debug)]
struct SweepAtEnd(Store);

impl Drop for SweepAtEnd {
    fn drop(&mut self) {
        if let Err(error) = self.0.reclaim() {
            let store = self.0.root.display();
            tracing::warn!(%store, %error, "could not sweep the image store");
        }
    }
}
