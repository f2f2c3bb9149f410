//! Tests of the store with real archives: what comes in, what is refused, what a crash leaves.

use std::fs;
use std::path::{Path, PathBuf};

use harness::tar_items::{Kind, file, folder, item, tar};
use tempfile::TempDir;

use super::{Image, Progress, Store, StoreError};
use crate::archive::{self, Packed, gzip, plain, zstandard};

mod intake;
mod refused;

/// A store and a place for archives.
struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn layout(&self, name: &str, layers: &[Packed]) -> PathBuf {
        let path = self.path(name);
        archive::layout(&path, layers);
        path
    }

    fn import(&self, path: &Path, name: Option<&str>) -> Result<Image, StoreError> {
        self.store
            .import(path, name.map(|name| name.parse().unwrap()), &mut |_| {})
    }

    /// Every file of the store that is a blob or a leftover.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for folder in ["blobs/sha256", "merged/sha256", "images/sha256", "tmp"] {
            let entries = fs::read_dir(self.store.root().join(folder)).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.sort();
        files
    }
}

fn base() -> Vec<u8> {
    tar(&[
        folder("bin"),
        file("bin/sh", "shell"),
        file("bin/cat", "x".repeat(9000)),
    ])
}

/// The whole chain of messages, as a user would see it.
fn text(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[test]
fn import_takes_every_packing_and_container_of_an_image() {
    let bench = Bench::new();
    let top = tar(&[file("top", "1")]);
    let third = tar(&[file("third", "2")]);
    let layers = [gzip(&base()), zstandard(&top), plain(third)];
    let layout = bench.layout("layout", &layers);
    let image = bench.import(&layout, Some("busybox")).unwrap();
    assert_eq!(
        image.names[0].to_string(),
        "docker.io/library/busybox:latest"
    );
    assert_eq!(image.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.cmd().as_deref(), Some(&["/bin/sh".to_owned()][..]));

    let mut oci_archive = tar::Builder::new(fs::File::create(bench.path("oci.tar")).unwrap());
    oci_archive.append_dir_all(".", &layout).unwrap();
    oci_archive.finish().unwrap();
    let again = bench.import(&bench.path("oci.tar"), None).unwrap();
    assert_eq!((again.id, again.digest), (image.id, image.digest));
    assert_eq!(
        again.names, image.names,
        "an import without a name takes none away"
    );

    let whole = fs::read(bench.path("oci.tar")).unwrap();
    for packed in [gzip(&whole), zstandard(&whole)] {
        fs::write(bench.path("oci.tar.packed"), packed.bytes).unwrap();
        let again = bench.import(&bench.path("oci.tar.packed"), None).unwrap();
        assert_eq!((again.id, again.digest), (image.id, image.digest));
    }
    for form in ["old", "new"] {
        let path = bench.path(form);
        docker_archive(&path, &layers, form == "new");
        let docker = bench.import(&path, None).unwrap();
        assert_eq!(docker.id, image.id);
        let names: Vec<_> = docker.names.iter().map(ToString::to_string).collect();
        assert!(
            names.contains(&"docker.io/library/saved:1".to_owned()),
            "{names:?}"
        );
    }
    assert_eq!(bench.store.list().unwrap().len(), 1);
}

/// What `docker save` writes; old ones link equal layers to each other.
fn docker_archive(path: &Path, layers: &[Packed], new: bool) {
    let config = archive::config("amd64", layers);
    let digest = archive::sha256(&config);
    let hex = &digest["sha256:".len()..];
    let mut items = Vec::new();
    let mut members = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let diff_id = &layer.diff_id["sha256:".len()..];
        let member = if new {
            format!("blobs/sha256/{diff_id}")
        } else {
            format!("{number}/layer.tar")
        };
        if new {
            items.push(file(&member, &layer.bytes));
        } else {
            items.push(file(format!("store{number}.tar"), &layer.bytes));
            let target = format!("../store{number}.tar");
            items.push(item(&member, Kind::Symlink(target.into_bytes())));
        }
        members.push(member);
    }
    let config_member = if new {
        format!("blobs/sha256/{hex}")
    } else {
        format!("{hex}.json")
    };
    items.push(file(&config_member, &config));
    let manifest = serde_json::json!([
        { "Config": config_member, "RepoTags": ["saved:1"], "Layers": members }
    ]);
    items.push(file("manifest.json", manifest.to_string()));
    fs::write(path, tar(&items)).unwrap();
}

#[test]
fn import_shares_layers_between_images() {
    let bench = Bench::new();
    let shared = gzip(&base());
    let one = bench.layout("one", &[shared.clone(), plain(tar(&[file("a", "1")]))]);
    let two = bench.layout("two", &[shared, plain(tar(&[file("b", "2")]))]);
    bench.import(&one, Some("one")).unwrap();
    let mut reused = 0;
    let mut count =
        |progress| reused += i32::from(matches!(progress, Progress::LayerReused { .. }));
    bench
        .store
        .import(&two, Some("two".parse().unwrap()), &mut count)
        .unwrap();
    assert_eq!(reused, 1);
    let blobs = fs::read_dir(bench.store.blobs()).unwrap().count();
    assert_eq!(blobs, 3, "the shared layer is there once");
}

#[test]
fn import_picks_our_platform_from_nested_indexes() {
    let bench = Bench::new();
    let path = bench.path("multi");
    let layers = [gzip(&base())];
    let mut arm = archive::manifest(&path, "arm64", &layers);
    arm["platform"] = serde_json::json!({ "os": "linux", "architecture": "arm64" });
    let mut ours = archive::manifest(&path, "amd64", &layers);
    ours["platform"] = serde_json::json!({ "os": "linux", "architecture": "amd64" });
    let inner = serde_json::json!({ "schemaVersion": 2, "manifests": [arm, ours] });
    let inner = serde_json::to_vec(&inner).unwrap();
    let inner = archive::blob(&path, "application/vnd.oci.image.index.v1+json", &inner);
    archive::index(&path, &[inner]);
    let image = bench.import(&path, None).unwrap();
    assert_eq!(image.digest.to_string(), ours["digest"].as_str().unwrap());
    archive::index(&path, &[arm]);
    let error = text(&bench.import(&path, None).unwrap_err());
    assert!(
        error.contains("no variant for linux/amd64; there are: linux/arm64"),
        "{error}"
    );
}

#[test]
fn import_chooses_by_name_among_several_images() {
    let bench = Bench::new();
    let path = bench.path("several");
    let mut one = archive::manifest(&path, "amd64", &[gzip(&base())]);
    one["annotations"] =
        serde_json::json!({ "io.containerd.image.name": "docker.io/library/one:1" });
    let mut two = archive::manifest(&path, "amd64", &[plain(tar(&[file("b", "2")]))]);
    two["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "v2" });
    archive::index(&path, &[one, two.clone()]);
    let error = text(&bench.import(&path, None).unwrap_err());
    assert!(
        error.contains("several images: docker.io/library/one:1, v2"),
        "{error}"
    );
    let image = bench.import(&path, Some("whatever:v2")).unwrap();
    assert_eq!(image.digest.to_string(), two["digest"].as_str().unwrap());
    let image = bench.import(&path, Some("one:1")).unwrap();
    assert_ne!(image.digest.to_string(), two["digest"].as_str().unwrap());
}

#[test]
fn resolve_finds_by_name_id_digest_and_prefix() {
    let bench = Bench::new();
    let path = bench.layout("layout", &[gzip(&base())]);
    let image = bench.import(&path, Some("registry.example/app:1")).unwrap();
    let pinned = format!("registry.example/app@{}", image.digest);
    for what in [
        "registry.example/app:1",
        &pinned,
        &image.id.to_string(),
        &image.id.hex(),
        &image.id.short(),
        &image.digest.to_string(),
    ] {
        assert_eq!(bench.store.resolve(what).unwrap().id, image.id, "{what}");
    }
    for what in ["app:1", "registry.example/app", "nothing", "", "sha256:00"] {
        let error = bench.store.resolve(what).unwrap_err();
        assert!(matches!(error, StoreError::NotFound(_)), "{what}: {error}");
    }
}

#[test]
fn name_moves_to_the_image_imported_last() {
    let bench = Bench::new();
    let old = bench
        .import(&bench.layout("a", &[gzip(&base())]), Some("app"))
        .unwrap();
    let top = plain(tar(&[file("new", "")]));
    let new = bench
        .import(&bench.layout("b", &[gzip(&base()), top]), Some("app"))
        .unwrap();
    assert_eq!(bench.store.resolve("app").unwrap().id, new.id);
    assert!(bench.store.resolve(&old.id.hex()).unwrap().names.is_empty());
    bench.store.remove("app").unwrap();
    assert!(
        bench.store.resolve("app").is_err(),
        "the old image must not get the name back"
    );
    assert!(bench.store.resolve(&old.id.hex()).is_ok());
}

#[test]
fn remove_frees_what_no_other_image_needs() {
    let bench = Bench::new();
    let empty = bench.files();
    let shared = gzip(&base());
    let big = tar(&[file("big", "y".repeat(200_000))]);
    bench
        .import(&bench.layout("a", &[shared.clone(), plain(big)]), Some("a"))
        .unwrap();
    bench
        .import(&bench.layout("b", &[shared]), Some("b"))
        .unwrap();
    bench.import(&bench.path("a"), Some("a:other")).unwrap();
    let removed = bench.store.remove("a").unwrap();
    assert_eq!(
        (removed.names.len(), removed.image, removed.freed_bytes),
        (1, None, 0)
    );
    let removed = bench.store.remove("a:other").unwrap();
    assert!(
        removed.image.is_some() && removed.freed_bytes >= 200_000,
        "{removed:?}"
    );
    let image = bench.store.resolve("b").unwrap();
    bench.store.open_rootfs(&image).unwrap();
    bench.store.remove(&image.id.short()).unwrap();
    assert_eq!(bench.files(), empty);
}

#[test]
fn remove_of_an_image_in_use_is_refused() {
    let bench = Bench::new();
    let image = bench
        .import(&bench.layout("a", &[gzip(&base())]), Some("a"))
        .unwrap();
    let mut rootfs = bench.store.open_rootfs(&image).unwrap();
    let error = bench.store.remove("a").unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    // The monitor's copy of the descriptor holds as well.
    let copy = rootfs.segments.remove(0).file.try_clone().unwrap();
    drop(rootfs);
    assert!(matches!(
        bench.store.remove("a").unwrap_err(),
        StoreError::InUse(_)
    ));
    drop(copy);
    bench.store.remove("a").unwrap();
    assert!(matches!(
        bench.store.open_rootfs(&image).unwrap_err(),
        StoreError::NotFound(_)
    ));
}

#[test]
fn open_sweeps_what_a_killed_import_left() {
    let bench = Bench::new();
    let image = bench
        .import(&bench.layout("a", &[gzip(&base())]), Some("a"))
        .unwrap();
    let good = bench.files();
    // Killed while writing, between the blobs' renames and the record's, and within a record.
    fs::create_dir(bench.store.temporary().join("import-1-0")).unwrap();
    fs::write(bench.store.temporary().join("import-1-0/half"), "half").unwrap();
    fs::write(
        bench
            .store
            .blobs()
            .join(format!("{}.erofs", "ab".repeat(32))),
        "blob",
    )
    .unwrap();
    fs::write(
        bench
            .store
            .merged()
            .join(format!("{}.erofs", "cd".repeat(32))),
        "meta",
    )
    .unwrap();
    fs::write(bench.store.images().join("0123.9.0.new"), "{").unwrap();
    let importing = super::lock::shared(&bench.store.imports_lock()).unwrap();
    let store = Store::open(bench.store.root()).unwrap();
    assert_eq!(
        bench.files().len(),
        good.len() + 4,
        "nothing is swept while someone imports"
    );
    drop(importing);
    Store::open(bench.store.root()).unwrap();
    assert_eq!(bench.files(), good);
    assert_eq!(store.resolve("a").unwrap().id, image.id);
}

#[test]
fn concurrent_imports_of_one_image_end_in_one_image() {
    let bench = Bench::new();
    let path = bench.layout("a", &[gzip(&base()), plain(tar(&[file("x", "y")]))]);
    let root = bench.store.root();
    let import = |number: usize| {
        let store = Store::open(root).unwrap();
        let name = format!("app:{number}").parse().unwrap();
        store.import(&path, Some(name), &mut |_| {}).unwrap();
    };
    let import = &import;
    std::thread::scope(|scope| {
        (0..4).for_each(|number| drop(scope.spawn(move || import(number))));
    });
    let images = bench.store.list().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].names.len(), 4);
    bench.store.open_rootfs(&images[0]).unwrap();
    assert_eq!(fs::read_dir(bench.store.temporary()).unwrap().count(), 0);
}

#[test]
fn rootfs_of_a_damaged_store_is_refused() {
    let bench = Bench::new();
    let image = bench
        .import(&bench.layout("a", &[gzip(&base())]), Some("a"))
        .unwrap();
    let blob = fs::read_dir(bench.store.blobs())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::File::options()
        .write(true)
        .open(blob)
        .unwrap()
        .set_len(4096)
        .unwrap();
    let error = bench.store.open_rootfs(&image).unwrap_err();
    assert!(error.to_string().contains("import it again"), "{error}");
    bench.store.remove("a").unwrap();
    fs::write(bench.store.root().join("format"), "99\n").unwrap();
    assert!(matches!(
        Store::open(bench.store.root()).unwrap_err(),
        StoreError::Format { .. }
    ));
}
