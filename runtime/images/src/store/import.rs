//! Imports one image: read its documents, convert its layers, merge them, make it count.
//!
//! Everything is written in a folder of its own below `tmp/`, which goes when the import fails; a
//! killed import leaves it to the next sweep.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::record::{self, Blob, Record, Records, TakenName};
use super::{Image, Progress, Store, StoreError, io_error, lock};
use crate::digest::{Digest, HashingWriter};
use crate::erofs::read;
use crate::layer::{self, LayerLimits, LayerStream};
use crate::limits;
use crate::merge::{self, LayerBlob, Merged};
use crate::reference::Reference;
use crate::source::{self, SourceError, SourceImage, SourceLayer};

pub(super) fn import(
    store: &Store,
    path: &Path,
    name: Option<Reference>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Image, StoreError> {
    let importing = lock::shared(&store.imports_lock())?;
    let source = source::open(path, name.as_ref());
    let source = source.map_err(|source| source_error(path, source))?;
    check_pin(&source, name.as_ref())?;
    let mut import = Import {
        store,
        path,
        folder: Folder::new(store)?,
        written: Vec::new(),
    };
    let layers = import.layers(&source, progress)?;
    progress(Progress::Merging);
    let (metadata, segments) = import.merge(&layers)?;
    let stack = stack(&layers);
    let record = Record {
        id: source.id,
        manifest: source.manifest,
        names: Vec::new(),
        config: source.config_text,
        diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
        stack,
        metadata,
        segments: segments.into_iter().map(Blob::from).collect(),
    };
    import.publish()?;
    let names = name.into_iter().chain(source.names).collect();
    let image = commit(store, record, names)?;
    drop(importing);
    Ok(image)
}

fn check_pin(source: &SourceImage, name: Option<&Reference>) -> Result<(), StoreError> {
    let digest = source.manifest.unwrap_or(source.id);
    match name {
        Some(name) if name.digest().is_some_and(|pinned| pinned != digest) => {
            Err(StoreError::Pinned {
                name: Box::new(name.clone()),
                digest,
            })
        }
        _ => Ok(()),
    }
}

fn source_error(path: &Path, source: SourceError) -> StoreError {
    StoreError::Source {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn stack(layers: &[LayerBlob]) -> Digest {
    merge::stack_digest(layers.iter().map(|layer| layer.diff_id))
}

struct Import<'a> {
    store: &'a Store,
    path: &'a Path,
    folder: Folder,
    /// Finished files and where they belong.
    written: Vec<(PathBuf, PathBuf)>,
}

impl Import<'_> {
    /// Converts the layers that the store does not have.
    fn layers(
        &mut self,
        source: &SourceImage,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<LayerBlob>, StoreError> {
        let count = source.layers.len();
        let mut blobs: Vec<LayerBlob> = Vec::with_capacity(count);
        for (index, layer) in source.layers.iter().enumerate() {
            let diff_id = layer.diff_id;
            let earlier = blobs.iter().find(|blob| blob.diff_id == diff_id).copied();
            let known = match earlier {
                Some(blob) => Some(blob),
                None => self.known(diff_id)?,
            };
            if known.is_some() {
                progress(Progress::LayerReused {
                    index,
                    count,
                    diff_id,
                });
            }
            let mut step = |read_bytes, total_bytes| {
                progress(Progress::Layer {
                    index,
                    count,
                    diff_id,
                    read_bytes,
                    total_bytes,
                });
            };
            let convert = || self.layer(source, index, layer, &mut step);
            let blob = known.map_or_else(convert, Ok)?;
            blobs.push(blob);
        }
        Ok(blobs)
    }

    /// A blob that is in place already. Nobody sweeps while we import.
    fn known(&self, diff_id: Digest) -> Result<Option<LayerBlob>, StoreError> {
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

    fn layer(
        &mut self,
        source: &SourceImage,
        index: usize,
        layer: &SourceLayer,
        step: &mut dyn FnMut(u64, u64),
    ) -> Result<LayerBlob, StoreError> {
        let diff_id = layer.diff_id;
        let refuse = |source| source_error(self.path, source);
        let packed = source.members.reader(&layer.member).map_err(refuse)?;
        let total_bytes = packed.size();
        let stream = LayerStream {
            packed,
            promised: layer.promised,
            label: layer.label,
            diff_id,
        };
        let (temporary, file) = self.folder.create(&diff_id.hex())?;
        step(0, total_bytes);
        // A line of progress for each file would cost more than the file.
        let mut next_step = 0;
        let mut progress = |read_bytes| {
            if read_bytes >= next_step {
                step(read_bytes, total_bytes);
                next_step = read_bytes + PROGRESS_BYTES;
            }
        };
        let converted = layer::convert(stream, file, LayerLimits::default(), &mut progress);
        let converted = converted.map_err(|source| StoreError::Layer {
            path: self.path.to_owned(),
            number: index + 1,
            diff_id,
            source: Box::new(source),
        })?;
        converted
            .blob
            .sync_all()
            .map_err(io_error("sync", &temporary))?;
        step(total_bytes, total_bytes);
        self.written.push((temporary, self.store.blob(diff_id)));
        Ok(LayerBlob {
            diff_id,
            length: converted.length,
        })
    }

    /// Writes the merged metadata. It is made anew each time: cheap, and its segments are known then.
    fn merge(&mut self, layers: &[LayerBlob]) -> Result<(Blob, Vec<LayerBlob>), StoreError> {
        let failed = |source| StoreError::Merge {
            path: self.path.to_owned(),
            source,
        };
        let mut merged = Merged::new();
        for layer in layers {
            let place = self.store.blob(layer.diff_id);
            let written = self.written.iter().find(|(_, to)| *to == place);
            let path = written.map_or(&place, |(from, _)| from);
            let file = File::open(path).map_err(io_error("open", path))?;
            let blob = read::Blob::open(&file, layer.length).map_err(failed)?;
            if blob.superblock.blocks_bytes() != layer.length {
                let problem = format!("it has {} bytes, which is not all", layer.length);
                return Err(StoreError::Damaged {
                    path: path.clone(),
                    problem,
                });
            }
            merged.add(&blob.tree().map_err(failed)?);
        }
        let stack = stack(layers);
        let (temporary, file) = self.folder.create(&format!("{}.merged", stack.hex()))?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(1 << 20, file));
        let device = merged.write(layers, &stack, &mut out).map_err(failed)?;
        out.flush().map_err(io_error("write", &temporary))?;
        let (file, digest) = out.finish();
        file.get_ref()
            .sync_all()
            .map_err(io_error("sync", &temporary))?;
        self.written
            .push((temporary, self.store.merged_blob(stack)));
        Ok((
            Blob {
                digest,
                length: device.metadata_length,
            },
            device.segments,
        ))
    }

    /// Moves the finished files into place. One that is there is the same, and is kept: others may
    /// hold locks on it.
    fn publish(&self) -> Result<(), StoreError> {
        for (from, to) in &self.written {
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(io_error("rename into place", to)(errno.into())),
            }
        }
        record::sync_folder(&self.store.blobs())?;
        record::sync_folder(&self.store.merged())
    }
}

/// How many packed bytes are read between two lines of progress.
const PROGRESS_BYTES: u64 = 256 << 10;

/// Makes the image count, with its names, in one rename.
fn commit(
    store: &Store,
    mut record: Record,
    names: BTreeSet<Reference>,
) -> Result<Image, StoreError> {
    let _records_lock = lock::exclusive(&store.records_lock())?;
    let records = Records::load(store)?;
    let sequence = records.next_sequence();
    if let Some(known) = records.get(record.id) {
        record.names.clone_from(&known.names);
        record.manifest = record.manifest.or(known.manifest);
    }
    record.names.retain(|taken| !names.contains(&taken.name));
    record
        .names
        .extend(names.into_iter().map(|name| TakenName { name, sequence }));
    record::write(store, &record)?;
    Records::load(store)?.image(record.id)
}

/// A folder below `tmp/` that goes when it is dropped.
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
