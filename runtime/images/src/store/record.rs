//! The records of images: what each consists of and what it is called.
//!
//! Main types: [`Record`] and [`Records`]. A name belongs to the record that took it last, by a
//! sequence number: so one rename both adds an image and moves a name to it from another, and there
//! is no instant at which the name is nobody's. Older holders are cleaned later.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::{Image, Store, StoreError, io_error, lock};
use crate::digest::Digest;
use crate::limits;
use crate::merge::LayerBlob;
use crate::reference::Reference;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) id: Digest,
    pub(super) manifest: Option<Digest>,
    pub(super) names: Vec<TakenName>,
    /// Each `name@digest` that was pulled. A digest is one image's for good: nobody takes it away.
    #[serde(default)]
    pub(super) digests: Vec<Reference>,
    /// Garbage collectors leave it alone.
    #[serde(default)]
    pub(super) pinned: bool,
    /// The image configuration as it came, byte for byte.
    pub(super) config: String,
    /// Every layer, bottom first.
    pub(super) diff_ids: Vec<Digest>,
    /// Names the merged metadata's file.
    pub(super) stack: Digest,
    pub(super) metadata: Blob,
    /// What stands behind the metadata on the device.
    pub(super) segments: Vec<Blob>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TakenName {
    pub(super) name: Reference,
    /// The highest number has the name.
    pub(super) sequence: u64,
}

/// A file and its length. The digest is a layer's diff_id, or that of the metadata's own bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) length: u64,
}

impl From<LayerBlob> for Blob {
    fn from(blob: LayerBlob) -> Self {
        Self {
            digest: blob.diff_id,
            length: blob.length,
        }
    }
}

/// All records at one instant.
#[derive(Debug)]
pub(super) struct Records {
    by_id: BTreeMap<Digest, Record>,
}

impl Records {
    pub(super) fn load(store: &Store) -> Result<Self, StoreError> {
        let folder = store.images();
        let mut by_id = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let path = entry.map_err(io_error("list", &folder))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let Some(record) = read(&path)? else { continue };
            by_id.insert(record.id, record);
        }
        Ok(Self { by_id })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Record> {
        self.by_id.values()
    }

    pub(super) fn get(&self, id: Digest) -> Option<&Record> {
        self.by_id.get(&id)
    }

    /// The number for names taken now.
    pub(super) fn next_sequence(&self) -> u64 {
        let taken = self.all().flat_map(|record| &record.names);
        taken.map(|name| name.sequence).max().unwrap_or(0) + 1
    }

    /// Whose name this is.
    pub(super) fn holder(&self, name: &Reference) -> Option<Digest> {
        let holders = self.all().flat_map(|record| {
            let taken = record.names.iter().filter(|taken| taken.name == *name);
            taken.map(|taken| (taken.sequence, record.id))
        });
        holders.max().map(|(_, id)| id)
    }

    /// The names that a record has and no later record took.
    pub(super) fn names(&self, record: &Record) -> Vec<Reference> {
        let mut names: Vec<_> = record
            .names
            .iter()
            .map(|taken| taken.name.clone())
            .collect();
        names.retain(|name| self.holder(name) == Some(record.id));
        names.sort();
        names.dedup();
        names
    }

    /// By id, manifest digest, name or unique start of an id, in this order.
    pub(super) fn find(&self, what: &str) -> Result<Digest, StoreError> {
        let not_found = || StoreError::NotFound(what.to_owned());
        let bare = what.strip_prefix("sha256:").unwrap_or(what);
        if let Ok(digest) = format!("sha256:{bare}").parse::<Digest>() {
            return self.by_digest(digest).ok_or_else(not_found);
        }
        if let Ok(name) = what.parse::<Reference>()
            && let Some(id) = self.by_name(&name)
        {
            return Ok(id);
        }
        if bare.is_empty()
            || !bare
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(not_found());
        }
        let mut ids = self
            .by_id
            .keys()
            .filter(|id| id.hex().starts_with(bare))
            .copied();
        let first = ids.next().ok_or_else(not_found)?;
        let more: Vec<_> = ids.map(|id| id.short()).collect();
        if more.is_empty() {
            return Ok(first);
        }
        let ids = format!("{}, {}", first.short(), more.join(", "));
        Err(StoreError::Ambiguous {
            prefix: what.to_owned(),
            ids,
        })
    }

    pub(super) fn by_digest(&self, digest: Digest) -> Option<Digest> {
        let known = self.by_id.contains_key(&digest).then_some(digest);
        known.or_else(|| {
            let has = |record: &&Record| {
                let mut digests = record.digests.iter().filter_map(Reference::digest);
                record.manifest == Some(digest) || digests.any(|pulled| pulled == digest)
            };
            self.all().find(has).map(|record| record.id)
        })
    }

    /// A name pinned to a digest also finds the image that has the digest under another tag.
    fn by_name(&self, name: &Reference) -> Option<Digest> {
        self.holder(name).or_else(|| {
            let id = self.by_digest(name.digest()?)?;
            let record = self.by_id.get(&id)?;
            let same =
                |known: &Reference| known.host() == name.host() && known.path() == name.path();
            let names = self.names(record);
            let mut known = names.iter().chain(&record.digests);
            known.any(same).then_some(id)
        })
    }

    pub(super) fn images(&self) -> Result<Vec<Image>, StoreError> {
        self.by_id.keys().map(|id| self.image(*id)).collect()
    }

    pub(super) fn image(&self, id: Digest) -> Result<Image, StoreError> {
        let record = self
            .get(id)
            .ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        let config =
            ImageConfiguration::from_reader(record.config.as_bytes()).map_err(|error| {
                StoreError::Damaged {
                    path: id.to_string().into(),
                    problem: error.to_string(),
                }
            })?;
        let segments = record.segments.iter().map(|blob| blob.length);
        Ok(Image {
            id,
            names: self.names(record),
            digests: record.digests.clone(),
            pinned: record.pinned,
            digest: record.manifest.unwrap_or(id),
            size: record.metadata.length + segments.sum::<u64>(),
            created: config.created().clone(),
            config,
        })
    }
}

/// Makes the image count, with its names, in one rename.
pub(super) fn commit(
    store: &Store,
    mut record: Record,
    names: &[Reference],
) -> Result<Image, StoreError> {
    let _records_lock = lock::exclusive(&store.records_lock())?;
    let records = Records::load(store)?;
    let sequence = records.next_sequence();
    if let Some(known) = records.get(record.id) {
        record.names.clone_from(&known.names);
        record.digests.clone_from(&known.digests);
        record.pinned = known.pinned;
        record.manifest = record.manifest.or(known.manifest);
    }
    for name in names {
        match name.digest() {
            Some(digest) => record.digests.push(name.pinned(digest)),
            None => {
                record.names.retain(|taken| taken.name != *name);
                let name = name.clone();
                record.names.push(TakenName { name, sequence });
            }
        }
    }
    record.digests.sort();
    record.digests.dedup();
    write(store, &record)?;
    Records::load(store)?.image(record.id)
}

/// Changes one image's record in place.
pub(super) fn change(
    store: &Store,
    what: &str,
    change: impl FnOnce(&mut Record),
) -> Result<(), StoreError> {
    let _records_lock = lock::exclusive(&store.records_lock())?;
    let mut records = Records::load(store)?;
    let id = records.find(what)?;
    let not_found = || StoreError::NotFound(what.to_owned());
    let mut record = records.by_id.remove(&id).ok_or_else(not_found)?;
    change(&mut record);
    write(store, &record)
}

/// `None` if the record was removed since it was listed.
pub(super) fn read(path: &Path) -> Result<Option<Record>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error("read", path)(source)),
    };
    let damaged = |problem: String| StoreError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if path
        .file_stem()
        .is_none_or(|stem| *stem != *record.id.hex())
    {
        return Err(damaged("it is another image's record".to_owned()));
    }
    if Digest::of(record.config.as_bytes()) != record.id {
        return Err(damaged(
            "the configuration differs from the image's id".to_owned(),
        ));
    }
    Ok(Some(record))
}

/// Writes a record in one step that either happens or does not.
pub(super) fn write(store: &Store, record: &Record) -> Result<(), StoreError> {
    let path = store.record(record.id);
    let damaged = |error: serde_json::Error| StoreError::Damaged {
        path: path.clone(),
        problem: error.to_string(),
    };
    let mut bytes = serde_json::to_vec_pretty(record).map_err(damaged)?;
    bytes.push(b'\n');
    let (temporary, mut file) = new_file(&store.images(), &record.id.short())?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(io_error("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(io_error("rename into place", &path))?;
    sync_folder(&store.images())
}

/// A file under a name that nobody else has.
fn new_file(folder: &Path, stem: &str) -> Result<(std::path::PathBuf, File), StoreError> {
    let mut last = None;
    for number in 0..limits::NAME_TRIES {
        let path = folder.join(format!("{stem}.{}.{number}.new", std::process::id()));
        match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) => last = Some(error),
        }
    }
    let source = last.unwrap_or_else(|| std::io::ErrorKind::AlreadyExists.into());
    Err(io_error("create a file in", folder)(source))
}

/// Makes renames in a folder last.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let file = File::open(folder).map_err(io_error("open", folder))?;
    file.sync_all().map_err(io_error("sync", folder))
}
