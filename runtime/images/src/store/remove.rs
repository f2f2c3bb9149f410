//! Takes names, images and what nobody needs out of the store.
//!
//! Records go first; blobs follow in a sweep that runs only while nobody imports, since an import counts on every blob it
//! has seen. The record of an image that a container runs from can go too: it becomes a `.held` file, which names the
//! blobs that the sweep must leave until nobody has the lock on the image's metadata any more.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::record::{self, Record, Records};
use super::{Removed, Store, StoreError, io_error, lock};
use crate::digest::Digest;
use crate::reference::Reference;

/// What a removal takes away; decided before anything is touched.
struct Plan<'a> {
    record: &'a Record,
    /// Only this name, or all and the image.
    only: Option<Reference>,
}

pub(super) fn remove(store: &Store, what: &str) -> Result<Removed, StoreError> {
    let records_lock = lock::exclusive(&store.records_lock())?;
    let records = Records::load(store)?;
    let plan = plan(&records, what)?;
    let names = match &plan.only {
        Some(name) => {
            take_name(store, &records, name)?;
            vec![name.clone()]
        }
        None => match unused(store, &records, plan.record)? {
            Some(_lock) => take_record(store, &records, plan.record, Keep::Nothing)?,
            None => return Err(StoreError::InUse(plan.record.id)),
        },
    };
    let image = plan.only.is_none().then_some(plan.record.id);
    drop(records_lock);
    Ok(Removed {
        names,
        image,
        freed_bytes: store.reclaim()?,
    })
}

fn plan<'a>(records: &'a Records, what: &str) -> Result<Plan<'a>, StoreError> {
    let id = records.find(what)?;
    let record = records
        .get(id)
        .ok_or_else(|| StoreError::NotFound(what.to_owned()))?;
    let name = what
        .parse::<Reference>()
        .ok()
        .filter(|name| records.holder(name) == Some(id));
    let several = records.names(record).len() > 1;
    Ok(Plan {
        record,
        only: name.filter(|_| several),
    })
}

/// Older holders give the name up first, so that it never falls back to one of them.
fn take_name(store: &Store, records: &Records, name: &Reference) -> Result<(), StoreError> {
    let sequence = |record: &Record| {
        let taken = record.names.iter().filter(|taken| taken.name == *name);
        taken.map(|taken| taken.sequence).max()
    };
    let holders = records
        .all()
        .filter_map(|record| Some((sequence(record)?, record)));
    let mut holders: Vec<_> = holders.collect();
    holders.sort_by_key(|(sequence, _)| *sequence);
    for (_, record) in holders {
        let mut record = record.clone();
        record.names.retain(|taken| taken.name != *name);
        record::write(store, &record)?;
    }
    Ok(())
}

/// What is left of a record that goes.
#[derive(Clone, Copy)]
enum Keep {
    Nothing,
    /// The word to the sweep that a container needs the blobs.
    Held,
}

/// Removes an image with all its names; its blobs follow at once or when the last container is gone.
pub(super) fn remove_image(store: &Store, what: &str) -> Result<Removed, StoreError> {
    let records_lock = lock::exclusive(&store.records_lock())?;
    let records = Records::load(store)?;
    let id = records.find(what)?;
    let not_found = || StoreError::NotFound(what.to_owned());
    let record = records.get(id).ok_or_else(not_found)?;
    let lock = unused(store, &records, record)?;
    let keep = lock.as_ref().map_or(Keep::Held, |_lock| Keep::Nothing);
    let names = take_record(store, &records, record, keep)?;
    drop(lock);
    drop(records_lock);
    Ok(Removed {
        names,
        image: Some(id),
        freed_bytes: store.reclaim()?,
    })
}

/// Proof that no container runs from an image: while it lives none can start, for `rootfs::open` looks at the record
/// again after it has its own lock.
struct Unused(#[expect(dead_code, reason = "the lock is held by being open")] Option<File>);

/// `None` if a container runs from it.
fn unused(store: &Store, records: &Records, record: &Record) -> Result<Option<Unused>, StoreError> {
    let shared = records
        .all()
        .any(|other| other.id != record.id && other.stack == record.stack);
    let merged = store.merged_blob(record.stack);
    match File::open(&merged) {
        Ok(file) if !shared => {
            let exclusive = FlockOperation::NonBlockingLockExclusive;
            let locked = lock::try_lock(&file, &merged, exclusive)?;
            Ok(locked.then_some(Unused(Some(file))))
        }
        // A damaged store must still let go of its images.
        _ => Ok(Some(Unused(None))),
    }
}

/// Takes the record away, and its names from older holders.
fn take_record(
    store: &Store,
    records: &Records,
    record: &Record,
    keep: Keep,
) -> Result<Vec<Reference>, StoreError> {
    let names = records.names(record);
    for name in &names {
        let older = |other: &&Record| {
            other.id != record.id && other.names.iter().any(|taken| taken.name == *name)
        };
        for other in records.all().filter(older) {
            let mut other = other.clone();
            other.names.retain(|taken| !names.contains(&taken.name));
            record::write(store, &other)?;
        }
    }
    let path = store.record(record.id);
    match keep {
        Keep::Nothing => fs::remove_file(&path).map_err(io_error("remove", &path))?,
        Keep::Held => {
            let held = path.with_extension("held");
            fs::rename(&path, &held).map_err(io_error("rename", &path))?;
        }
    }
    record::sync_folder(&store.images())?;
    Ok(names)
}

/// Removes leftovers and unused blobs; the caller holds `imports.lock` exclusively. Gives the bytes
/// of disk that are free now.
pub(super) fn sweep(store: &Store) -> Result<u64, StoreError> {
    // Records are written in place of others all the time; their `.new` files are someone's work.
    let _records_lock = lock::exclusive(&store.records_lock())?;
    let records = Records::load(store)?;
    let mut freed = 0;
    for path in listing(&store.temporary())? {
        freed += remove_tree(&path)?;
    }
    for path in listing(&store.images())? {
        if path.extension().is_some_and(|extension| extension == "new") {
            freed += remove_tree(&path)?;
        }
    }
    let held = held(store)?;
    let records: Vec<_> = records.all().chain(&held).collect();
    let named = |digest: Digest| std::ffi::OsString::from(format!("{}.erofs", digest.hex()));
    let stacks: HashSet<_> = records.iter().map(|record| named(record.stack)).collect();
    let diff_ids = records.iter().flat_map(|record| &record.diff_ids);
    let layers: HashSet<_> = diff_ids.map(|diff_id| named(*diff_id)).collect();
    for (folder, used) in [(store.merged(), stacks), (store.blobs(), layers)] {
        for path in listing(&folder)? {
            if path.file_name().is_some_and(|name| !used.contains(name)) {
                freed += remove_tree(&path)?;
            }
        }
    }
    Ok(freed)
}

/// The records of removed images that containers still run from; those of the others go.
fn held(store: &Store) -> Result<Vec<Record>, StoreError> {
    let mut held = Vec::new();
    for path in listing(&store.images())? {
        if path.extension().is_none_or(|extension| extension != "held") {
            continue;
        }
        let Some(record) = record::read(&path)? else {
            continue;
        };
        let merged = store.merged_blob(record.stack);
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        let free = match File::open(&merged) {
            Ok(file) => lock::try_lock(&file, &merged, exclusive)?,
            Err(_gone) => true,
        };
        if free {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        } else {
            held.push(record);
        }
    }
    Ok(held)
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths
        .collect::<Result<_, _>>()
        .map_err(io_error("list", folder))
}

fn remove_tree(path: &Path) -> Result<u64, StoreError> {
    let metadata = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    if !metadata.is_dir() {
        fs::remove_file(path).map_err(io_error("remove", path))?;
        return Ok(metadata.blocks() * 512);
    }
    let mut freed = 0;
    for path in listing(path)? {
        freed += remove_tree(&path)?;
    }
    fs::remove_dir(path).map_err(io_error("remove", path))?;
    Ok(freed)
}
