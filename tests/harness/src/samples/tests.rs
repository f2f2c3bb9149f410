//! The samples are what they are called: many entries of every type, and sparse files as tar writes them.

use std::collections::BTreeSet;

use tar::{Archive, EntryType};

use super::*;

#[test]
fn every_sample_is_a_tar_stream_that_begins_with_its_root() {
    let samples = [
        every_kind(),
        stacked_layers(),
        large_directories(),
        sparse_and_huge().unwrap(),
    ];
    let names: BTreeSet<_> = samples.iter().map(|sample| sample.name).collect();
    assert_eq!(names.len(), samples.len(), "names differ");
    for (_, layer) in samples.iter().flat_map(|sample| &sample.layers) {
        let mut archive = Archive::new(layer.as_slice());
        let first = archive.entries().unwrap().next().unwrap().unwrap();
        assert!(matches!(&*first.path_bytes(), b"./" | b"."));
        assert_eq!(first.header().entry_type(), EntryType::Directory);
    }
}

#[test]
fn every_kind_has_each_type_of_entry() {
    let layer = tar(&kinds());
    let mut archive = Archive::new(layer.as_slice());
    let types: Vec<EntryType> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().header().entry_type())
        .collect();
    for kind in [
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        assert!(types.contains(&kind), "{kind:?} in {types:?}");
    }
}
