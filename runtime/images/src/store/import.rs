//! Imports one image from an archive: read its documents, convert its layers, make it count.

use std::path::Path;

use super::intake::{Documents, Intake};
use super::{Image, Progress, Store, StoreError};
use crate::layer::LayerStream;
use crate::reference::Reference;
use crate::source::{self, SourceError, SourceImage, SourceLayer};

/// How many packed bytes are read between two lines of progress.
const PROGRESS_BYTES: u64 = 256 << 10;

pub(super) fn import(
    store: &Store,
    path: &Path,
    name: Option<Reference>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Image, StoreError> {
    let intake = Intake::new(store, path.display().to_string())?;
    let source = source::open(path, name.as_ref(), intake.scratch());
    let source = source.map_err(|source| source_error(path, source))?;
    check_pin(&source, name.as_ref())?;
    let archive = Archive {
        path,
        intake: &intake,
        source: &source,
    };
    archive.layers(progress)?;
    progress(Progress::Merging);
    let documents = Documents {
        id: source.id,
        manifest: source.manifest,
        config_text: source.config_text,
        diff_ids: source.layers.iter().map(|layer| layer.diff_id).collect(),
    };
    let mut names = source.names;
    // A name with tag and digest is two names for the store.
    names.extend(name.iter().filter_map(Reference::tagged));
    names.extend(name.filter(|name| name.digest().is_some()));
    intake.commit_documents(documents, &names)
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

/// An archive that is being imported.
struct Archive<'a> {
    path: &'a Path,
    intake: &'a Intake,
    source: &'a SourceImage,
}

impl Archive<'_> {
    /// Converts the layers that the store does not have.
    fn layers(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        let count = self.source.layers.len();
        for (index, layer) in self.source.layers.iter().enumerate() {
            let diff_id = layer.diff_id;
            if self.intake.has_layer(diff_id)? {
                progress(Progress::LayerReused {
                    index,
                    count,
                    diff_id,
                });
                continue;
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
            self.layer(index, layer, &mut step)?;
        }
        Ok(())
    }

    fn layer(
        &self,
        index: usize,
        layer: &SourceLayer,
        step: &mut dyn FnMut(u64, u64),
    ) -> Result<(), StoreError> {
        let packed = self.source.members.reader(&layer.member);
        let packed = packed.map_err(|source| source_error(self.path, source))?;
        let total_bytes = packed.size();
        let stream = LayerStream {
            packed,
            promised: layer.promised,
            label: layer.label,
            diff_id: layer.diff_id,
        };
        step(0, total_bytes);
        // A line of progress for each file would cost more than the file.
        let mut next_step = 0;
        let mut progress = |read_bytes| {
            if read_bytes >= next_step {
                step(read_bytes, total_bytes);
                next_step = read_bytes + PROGRESS_BYTES;
            }
        };
        self.intake.convert(stream, index + 1, &mut progress)?;
        step(total_bytes, total_bytes);
        Ok(())
    }
}
