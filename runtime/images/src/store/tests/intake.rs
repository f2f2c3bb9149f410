//! Images that come piece by piece, as from a registry; what is left when they don't come whole.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use harness::tar_items::{file, tar};

use super::{Bench, base, text};
use crate::archive::{self, Packed, gzip, plain, zstandard};
use crate::source::documents::{Document, ImagePlan};
use crate::{Digest, Image, Intake, Reference, StoreError};

/// A manifest as a registry would send it, and what it plans.
fn plan(layers: &[Packed]) -> ImagePlan {
    let scratch = tempfile::tempdir().unwrap();
    let descriptor = archive::manifest(scratch.path(), "amd64", layers);
    let hex = &descriptor["digest"].as_str().unwrap()["sha256:".len()..];
    let bytes = fs::read(scratch.path().join("blobs/sha256").join(hex)).unwrap();
    let Document::Manifest(manifest) = Document::parse("it", "", &bytes).unwrap() else {
        panic!("not a manifest");
    };
    let config = archive::config("amd64", layers);
    assert_eq!(manifest.config().unwrap().digest, Digest::of(&config));
    manifest.plan(Digest::of(&bytes), config).unwrap()
}

fn add(intake: &Intake, plan: &ImagePlan, layers: &[Packed]) -> Result<(), StoreError> {
    for (index, layer) in layers.iter().enumerate() {
        let packed = Trickle(&layer.bytes);
        intake.add_layer(&plan.layers[index], index + 1, packed, &mut |_| {})?;
    }
    Ok(())
}

/// A stream as a network gives it: little at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(3);
        self.0.read(&mut buffer[..most])
    }
}

fn names(names: &[&str]) -> Vec<Reference> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn pull(bench: &Bench, layers: &[Packed], under: &[&str]) -> Image {
    let plan = plan(layers);
    let intake = bench.store.intake("test").unwrap();
    add(&intake, &plan, layers).unwrap();
    intake.commit(&plan, &names(under)).unwrap()
}

/// All files with their content.
fn snapshot(bench: &Bench) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    bench.files().into_iter().map(read).collect()
}

const INDEX: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

#[test]
fn image_in_pieces_is_the_same_as_imported() {
    let layers = [
        gzip(&base()),
        zstandard(&tar(&[file("top", "1")])),
        plain(tar(&[file("third", "2")])),
    ];
    let bench = Bench::new();
    let imported = bench
        .import(&bench.layout("a", &layers), Some("a"))
        .unwrap();
    let files = bench.files();
    bench.store.remove("a").unwrap();
    let pulled = pull(&bench, &layers, &["a", &format!("a@{INDEX}")]);
    assert_eq!(
        (pulled.id, pulled.digest, pulled.size),
        (imported.id, imported.digest, imported.size)
    );
    assert_eq!(bench.files(), files);
    bench.store.open_rootfs(&pulled).unwrap();
    assert_eq!(pulled.names, names(&["a"]));
    assert_eq!(pulled.digests, names(&[&format!("a@{INDEX}")]));
    for what in [
        "a",
        &format!("a@{INDEX}"),
        &format!("a:any@{INDEX}"),
        &format!("docker.io/library/a@{}", pulled.digest),
        INDEX,
        &pulled.id.hex(),
        &pulled.id.short(),
    ] {
        assert_eq!(bench.store.resolve(what).unwrap().id, pulled.id, "{what}");
    }
    let error = bench.store.resolve(&format!("b@{INDEX}")).unwrap_err();
    assert!(matches!(error, StoreError::NotFound(_)), "{error}");
}

#[test]
fn intake_that_is_dropped_leaves_nothing() {
    let bench = Bench::new();
    let shared = gzip(&base());
    pull(&bench, std::slice::from_ref(&shared), &["kept"]);
    let before = snapshot(&bench);
    let layers = [shared, gzip(&tar(&[file("new", "x")]))];
    let plan = plan(&layers);
    let intake = bench.store.intake("test").unwrap();
    assert!(intake.has_layer(plan.layers[0].diff_id).unwrap());
    assert!(!intake.has_layer(plan.layers[1].diff_id).unwrap());
    let error = text(&intake.commit(&plan, &names(&["new"])).unwrap_err());
    assert!(error.contains("of test is not in the store"), "{error}");
    let added = intake.add_layer(&plan.layers[1], 2, &layers[1].bytes[..], &mut |_| {});
    added.unwrap();
    assert!(intake.has_layer(plan.layers[1].diff_id).unwrap());
    // Another that ends meanwhile must not sweep what this one counts on.
    drop(bench.store.intake("other").unwrap());
    assert!(intake.has_layer(plan.layers[1].diff_id).unwrap());
    drop(intake);
    assert_eq!(snapshot(&bench), before);
}

#[test]
fn layer_that_is_not_as_promised_is_not_kept() {
    let good = gzip(&tar(&[file("f", "x".repeat(5000))]));
    let check = |change: fn(&mut Packed), bytes: fn(&mut Vec<u8>), expect: &str| {
        let bench = Bench::new();
        let before = snapshot(&bench);
        let mut layer = good.clone();
        change(&mut layer);
        let plan = plan(std::slice::from_ref(&layer));
        bytes(&mut layer.bytes);
        let intake = bench.store.intake("test").unwrap();
        let error = add(&intake, &plan, &[layer]).unwrap_err();
        assert!(error.is_bad_content(), "{error:?}");
        let error = text(&error);
        assert!(error.contains(expect), "{error}");
        assert!(error.contains("import layer 1"), "{error}");
        assert!(!intake.has_layer(plan.layers[0].diff_id).unwrap());
        drop(intake);
        assert_eq!(snapshot(&bench), before, "{error}");
    };
    let other: fn(&mut Packed) = |packed| packed.diff_id = archive::sha256(b"other");
    check(other, |_| {}, "the unpacked layer has digest");
    check(|_| {}, |bytes| bytes.push(0), "truncated or damaged");
    check(|_| {}, |bytes| bytes.truncate(30), "truncated or damaged");
    // The time in gzip's header is no part of the content (RFC 1952, 2.3.1): only the packed digest tells.
    check(|_| {}, |bytes| bytes[5] ^= 1, "the packed layer has digest");
}

#[test]
fn tag_moves_and_the_old_image_keeps_its_digest() {
    let bench = Bench::new();
    let old = pull(&bench, &[gzip(&base())], &["app", &format!("app@{INDEX}")]);
    let new = pull(&bench, &[plain(tar(&[file("n", "")]))], &["app"]);
    assert_eq!(bench.store.resolve("app").unwrap().id, new.id);
    let old = bench.store.resolve(&old.id.hex()).unwrap();
    assert_eq!(old.names, []);
    assert_eq!(old.digests, names(&[&format!("app@{INDEX}")]));
}

#[test]
fn removal_of_an_image_takes_all_its_names() {
    let pinned = format!("a@{INDEX}");
    for what in ["a", "a:2", "a:3", &pinned, INDEX] {
        let bench = Bench::new();
        let before = snapshot(&bench);
        pull(&bench, &[gzip(&base())], &["a", "a:2", "a:3", &pinned]);
        let removed = bench.store.remove_image(what).unwrap();
        assert_eq!(removed.names.len(), 3, "{what}");
        assert_eq!(snapshot(&bench), before, "{what}");
        let error = bench.store.remove_image(what).unwrap_err();
        assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    }
}

#[test]
fn removed_image_keeps_its_blobs_while_a_container_runs() {
    let bench = Bench::new();
    let empty = snapshot(&bench);
    let layers = [gzip(&base())];
    let image = pull(&bench, &layers, &["a"]);
    let rootfs = bench.store.open_rootfs(&image).unwrap();
    let blobs = fs::read_dir(bench.store.blobs()).unwrap().count();
    let removed = bench.store.remove_image("a").unwrap();
    assert_eq!((removed.image, removed.freed_bytes), (Some(image.id), 0));
    assert!(bench.store.list().unwrap().is_empty());
    assert!(bench.store.open_rootfs(&image).is_err());
    assert_eq!(fs::read_dir(bench.store.blobs()).unwrap().count(), blobs);
    // It may come back meanwhile, without a byte of it, and go again.
    let intake = bench.store.intake("again").unwrap();
    assert!(intake.has_layer(plan(&layers).layers[0].diff_id).unwrap());
    intake.commit(&plan(&layers), &names(&["b"])).unwrap();
    drop(intake);
    bench.store.remove_image("b").unwrap();
    assert_eq!(bench.store.reclaim().unwrap(), 0);
    assert_eq!(fs::read_dir(bench.store.blobs()).unwrap().count(), blobs);
    drop(rootfs);
    assert!(bench.store.reclaim().unwrap() > 0);
    assert_eq!(snapshot(&bench), empty);
}

#[test]
fn pin_is_kept_over_a_second_pull() {
    let bench = Bench::new();
    let layers = [gzip(&base())];
    assert!(!pull(&bench, &layers, &["pause"]).pinned);
    bench.store.pin("pause").unwrap();
    assert!(pull(&bench, &layers, &["pause:2"]).pinned);
    bench.store.unpin("pause:2").unwrap();
    assert!(!bench.store.resolve("pause").unwrap().pinned);
    let error = bench.store.pin("nothing").unwrap_err();
    assert!(matches!(error, StoreError::NotFound(_)), "{error}");
}

#[test]
fn usage_counts_what_an_image_takes() {
    let bench = Bench::new();
    let empty = bench.store.usage().unwrap();
    let big = tar(&[file("big", "y".repeat(1 << 20))]);
    pull(&bench, &[gzip(&big)], &["big"]);
    let full = bench.store.usage().unwrap();
    assert!(full.bytes >= empty.bytes + (1 << 20), "{full:?}");
    // A blob, its merged metadata, a record.
    assert_eq!(full.inodes, empty.inodes + 3);
    bench.store.remove_image("big").unwrap();
    assert_eq!(bench.store.usage().unwrap().inodes, empty.inodes);
}

#[test]
fn record_of_an_earlier_version_is_read() {
    let bench = Bench::new();
    let image = pull(&bench, &[gzip(&base())], &["a"]);
    let path = bench.store.record(image.id);
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let fields = record.as_object_mut().unwrap();
    fields.remove("digests").unwrap();
    fields.remove("pinned").unwrap();
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    let image = bench.store.resolve("a").unwrap();
    assert_eq!((image.digests.len(), image.pinned), (0, false));
}
