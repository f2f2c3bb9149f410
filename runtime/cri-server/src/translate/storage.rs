//! What a sandbox's annotations say of its pod's storage, of which CRI has no words. Main functions: [`check_storage`], [`empty_dir_disk`],
//! [`writable_bytes`].
//!
//! Both are lists with commas: names of the pod's volumes or containers, `*` for each that is not named, and behind a `=` most bytes, as Kubernetes
//! writes quantities (`cache=2Gi,*`).

use std::collections::BTreeMap;

use super::refusal::Refusal;

/// Names emptyDirs that are disks of the guest; without a size, as large as such disks are.
pub(super) const EMPTY_DIR_DISKS: &str = "cofferdam.empty-dir-disks";

/// Sizes of containers' writable layers, in place of the configuration's.
const WRITABLE_LAYERS: &str = "cofferdam.writable-layers";

/// Every one that is not named.
const OTHERS: &str = "*";

/// Least that can be a limit: less than that has no room for a folder.
const LEAST_BYTES: u64 = 64 << 10;

type Annotations = BTreeMap<String, String>;

/// An emptyDir that is a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EmptyDirDisk {
    pub(super) limit_bytes: Option<u64>,
}

/// Refuses what can't be read, when the sandbox is run.
pub(super) fn check_storage(annotations: &Annotations) -> Result<(), Refusal> {
    list(annotations, EMPTY_DIR_DISKS)?;
    for (name, size) in list(annotations, WRITABLE_LAYERS)? {
        if size.is_none() {
            return Err(Refusal::invalid(format!(
                "the annotation {WRITABLE_LAYERS} says no size for {name:?}: say {name}=1Gi"
            )));
        }
    }
    Ok(())
}

/// Whether the emptyDir of this name is one.
pub(super) fn empty_dir_disk(
    annotations: &Annotations,
    volume: &str,
) -> Result<Option<EmptyDirDisk>, Refusal> {
    let said = of(&list(annotations, EMPTY_DIR_DISKS)?, volume);
    Ok(said.map(|limit_bytes| EmptyDirDisk { limit_bytes }))
}

/// Most bytes in a container's writable layer, if the annotation says it.
pub(super) fn writable_bytes(
    annotations: &Annotations,
    container: &str,
) -> Result<Option<u64>, Refusal> {
    Ok(of(&list(annotations, WRITABLE_LAYERS)?, container).flatten())
}

fn of(list: &BTreeMap<&str, Option<u64>>, name: &str) -> Option<Option<u64>> {
    list.get(name).or_else(|| list.get(OTHERS)).copied()
}

fn list<'a>(
    annotations: &'a Annotations,
    key: &str,
) -> Result<BTreeMap<&'a str, Option<u64>>, Refusal> {
    let wrong = |what: String| Refusal::invalid(format!("the annotation {key}: {what}"));
    let mut all = BTreeMap::new();
    let text = annotations.get(key).map_or("", String::as_str);
    let items = text.split(',').map(str::trim);
    for item in items.filter(|item| !item.is_empty()) {
        let (name, size) = match item.split_once('=') {
            Some((name, size)) => (name.trim(), Some(bytes(size.trim()).map_err(wrong)?)),
            None => (item, None),
        };
        if name.is_empty() {
            return Err(wrong(format!("{item:?} names nothing")));
        }
        if all.insert(name, size).is_some() {
            return Err(wrong(format!("{name:?} is there twice")));
        }
    }
    Ok(all)
}

/// A quantity of Kubernetes', in whole numbers.
fn bytes(quantity: &str) -> Result<u64, String> {
    const SUFFIXES: [(&str, u64); 9] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("", 1),
    ];
    let digits = quantity.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let suffix = quantity.get(digits.len()..).unwrap_or_default();
    let unit = SUFFIXES.iter().find(|(name, _)| *name == suffix);
    let bytes = unit
        .zip(digits.parse::<u64>().ok())
        .and_then(|((_, unit), number)| number.checked_mul(*unit));
    bytes
        .filter(|bytes| *bytes >= LEAST_BYTES)
        .ok_or_else(|| format!("{quantity:?} is no size: a whole number with Ki, Mi, Gi or Ti, and {LEAST_BYTES} bytes at least"))
}

#[cfg(test)]
mod tests;
