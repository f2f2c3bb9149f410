//! `cofferdam image`: archives go in whole or not at all, and come out of the store as a root file system.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::image::{Bundle, Compression, ImageBuilder, Layer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Test;
use crate::case::Case;
use crate::deadlines;
use crate::running::Ended;
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[
    ("oci_archive_is_listed_run_and_removed", |case| {
        life_of_an_image(case, Bundle::write_oci_archive)
    }),
    ("docker_archive_is_listed_run_and_removed", |case| {
        life_of_an_image(case, Bundle::write_docker_archive)
    }),
    ("layout_folder_is_listed_run_and_removed", |case| {
        life_of_an_image(case, Bundle::write_layout)
    }),
    ("second_import_of_the_same_changes_nothing", second_import),
    ("layer_shared_by_two_images_is_kept_once", shared_layer),
    ("blob_with_other_bytes_keeps_nothing", |case| {
        broken(case, &other_bytes()?, &["sha256"])
    }),
    ("blob_that_is_missing_keeps_nothing", |case| {
        broken(case, &missing_blob()?, &["sha256"])
    }),
    ("layer_that_is_cut_short_keeps_nothing", |case| {
        broken(case, &cut_layer()?, &["sha256"])
    }),
    ("path_that_climbs_out_keeps_nothing", |case| {
        broken(case, &climbing_path()?, &["../"])
    }),
    ("archive_that_is_cut_short_keeps_nothing", cut_archive),
    ("file_that_is_no_archive_keeps_nothing", no_archive),
    ("file_that_is_not_there_is_named", no_file),
    ("unknown_image_cannot_be_removed", unknown_image),
];

/// The name of the images that are only imported.
const NAME: &str = "small:latest";

/// One layer that does not compress, and a layer that makes the image this one.
fn image(name: &str, differing: &str) -> ImageBuilder {
    let shared = Layer::new(Compression::None).file("block", 0o644, test_image::block());
    let own = Layer::new(Compression::Gzip).file(differing, 0o644, "hello\n");
    ImageBuilder::new(name).layer(shared).layer(own)
}

fn life_of_an_image(case: &Case, write: fn(&Bundle, &Path) -> Result<()>) -> Result<()> {
    let empty = files(case)?;
    let path = case.folder().join("image");
    write(test_image::bundle()?, &path)?;
    let import = case.cofferdam(&["image", "import", &path.to_string_lossy()])?;
    case.finish(import, deadlines::RUN)?.expect_code(0)?;
    ensure!(
        list(case)?.len() == 1,
        "one image is listed: {:?}",
        list(case)?
    );
    let names = list(case)?
        .first()
        .map(|image| image["names"].to_string())
        .unwrap_or_default();
    ensure!(names.contains(test_image::NAME), "it has its name: {names}");

    let script = format!(
        "cat {}; test ! -e {}",
        test_image::HELLO,
        test_image::TAKEN_AWAY
    );
    let run = case.cofferdam(&[
        "run",
        "--image",
        test_image::NAME,
        "--",
        "sh",
        "-c",
        &script,
    ])?;
    case.finish(run, deadlines::RUN)?
        .expect_code(0)?
        .expect_stdout(test_image::GREETING)?;

    case.tell(&["image", "rm", test_image::NAME])?
        .expect_code(0)?;
    ensure!(list(case)?.is_empty(), "none is listed: {:?}", list(case)?);
    same_files(&empty, &files(case)?)
}

fn second_import(case: &Case) -> Result<()> {
    let bundle = image(NAME, "hello").build()?;
    import(case, &bundle)?.expect_code(0)?;
    let first = files(case)?;
    import(case, &bundle)?.expect_code(0)?;
    ensure!(list(case)?.len() == 1, "still one image: {:?}", list(case)?);
    same_files(&first, &files(case)?)
}

fn shared_layer(case: &Case) -> Result<()> {
    import(case, &image(NAME, "hello").build()?)?.expect_code(0)?;
    let one = bytes(&files(case)?)?;
    import(case, &image("second:latest", "other").build()?)?.expect_code(0)?;
    let growth = bytes(&files(case)?)?.saturating_sub(one);
    ensure!(list(case)?.len() == 2, "two images: {:?}", list(case)?);
    let shared = u64::try_from(test_image::block().len()).context("a length fits 64 bits")?;
    ensure!(
        growth < shared / 2,
        "the store grew by {growth} bytes, though a layer of {shared} is shared"
    );
    case.tell(&["image", "rm", NAME])?.expect_code(0)?;
    ensure!(
        bytes(&files(case)?)? >= shared,
        "the layer stays while one image has it"
    );
    case.tell(&["image", "rm", "second:latest"])?
        .expect_code(0)?;
    ensure!(
        bytes(&files(case)?)? < shared,
        "the layer goes with the last image"
    );
    Ok(())
}

/// A small image to be spoiled: its manifest names one layer, by digest.
fn small() -> Result<Bundle> {
    let layer = Layer::new(Compression::Gzip).file("hello", 0o644, "hello\n");
    ImageBuilder::new(NAME).layer(layer).build()
}

fn other_bytes() -> Result<Bundle> {
    let mut bundle = small()?;
    let bytes = &mut bundle
        .layers
        .first_mut()
        .context("the image has a layer")?
        .bytes;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("the layer has bytes")? ^= 1;
    Ok(bundle)
}

fn missing_blob() -> Result<Bundle> {
    let mut bundle = small()?;
    bundle.layers.clear();
    Ok(bundle)
}

fn cut_layer() -> Result<Bundle> {
    let mut bundle = small()?;
    let bytes = &mut bundle
        .layers
        .first_mut()
        .context("the image has a layer")?
        .bytes;
    bytes.truncate(bytes.len() / 2);
    Ok(bundle)
}

/// `tar` refuses to write such a path, so another of the same length is replaced, in the layer and in its checksum,
/// and every digest that follows from it.
fn climbing_path() -> Result<Bundle> {
    const HARMLESS: &[u8] = b"up/up/climbed";
    const CLIMBING: &[u8] = b"../../climbed";
    let layer = Layer::new(Compression::None).file("up/up/climbed", 0o644, "out\n");
    let mut bundle = ImageBuilder::new(NAME).layer(layer).build()?;
    let layer = bundle.layers.first_mut().context("the image has a layer")?;
    let before = layer.digest.clone();
    let mut header = tar::Header::new_old();
    header
        .as_mut_bytes()
        .copy_from_slice(layer.bytes.get(..512).context("the layer has a header")?);
    header
        .as_old_mut()
        .name
        .get_mut(..HARMLESS.len())
        .context("the name is there")?
        .copy_from_slice(CLIMBING);
    header.set_cksum();
    layer
        .bytes
        .get_mut(..512)
        .context("the layer has a header")?
        .copy_from_slice(header.as_bytes());
    layer.digest = digest(&layer.bytes);
    let after = layer.digest.clone();
    let config_before = bundle.config.digest.clone();
    replace(&mut bundle.config.bytes, &before, &after)?;
    bundle.config.digest = digest(&bundle.config.bytes);
    replace(&mut bundle.manifest.bytes, &before, &after)?;
    replace(
        &mut bundle.manifest.bytes,
        &config_before,
        &bundle.config.digest,
    )?;
    bundle.manifest.digest = digest(&bundle.manifest.bytes);
    Ok(bundle)
}

/// Replaces a text in JSON by another of the same length.
fn replace(json: &mut Vec<u8>, before: &str, after: &str) -> Result<()> {
    let text = std::str::from_utf8(json).context("JSON is text")?;
    ensure!(text.contains(before), "{before} stands in {text}");
    *json = text.replace(before, after).into_bytes();
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// Imports what can't be imported: an error with these words, and the store as it was.
fn broken(case: &Case, bundle: &Bundle, words: &[&str]) -> Result<()> {
    let before = files(case)?;
    import(case, bundle)?
        .expect_failure()?
        .expect_stdout("")?
        .expect_error_naming(words)?;
    same_files(&before, &files(case)?)
}

fn cut_archive(case: &Case) -> Result<()> {
    let path = case.folder().join("whole.tar");
    small()?.write_oci_archive(&path)?;
    let whole = fs::read(&path).context("read the archive back")?;
    let cut = whole.get(..whole.len() / 2).unwrap_or_default();
    refuses_file(case, cut, &[])
}

fn no_archive(case: &Case) -> Result<()> {
    refuses_file(case, &[0x5a; 100_000], &["spoiled.tar"])?;
    refuses_file(case, b"", &["spoiled.tar"])?;
    // A tar archive without a member.
    refuses_file(case, &[0; 1024], &["spoiled.tar"])
}

fn refuses_file(case: &Case, bytes: &[u8], words: &[&str]) -> Result<()> {
    let before = files(case)?;
    let path = case.folder().join("spoiled.tar");
    fs::write(&path, bytes).context("write a spoiled archive")?;
    let ended = case.tell(&["image", "import", &path.to_string_lossy()])?;
    ended
        .expect_failure()?
        .expect_stdout("")?
        .expect_error_naming(words)?;
    same_files(&before, &files(case)?)
}

fn no_file(case: &Case) -> Result<()> {
    let ended = case.tell(&["image", "import", "/no/such/image.tar"])?;
    ended
        .expect_failure()?
        .expect_error_naming(&["/no/such/image.tar"])?;
    Ok(())
}

fn unknown_image(case: &Case) -> Result<()> {
    case.tell(&["image", "rm", "no-such-image"])?
        .expect_failure()?
        .expect_error_naming(&["no-such-image"])?;
    Ok(())
}

fn import(case: &Case, bundle: &Bundle) -> Result<Ended> {
    let path = case.folder().join("image.tar");
    bundle.write_oci_archive(&path)?;
    let command = case.cofferdam(&["image", "import", &path.to_string_lossy()])?;
    case.finish(command, deadlines::RUN)
}

fn list(case: &Case) -> Result<Vec<Value>> {
    let ended = case.tell(&["image", "ls", "--json"])?;
    ended.expect_code(0)?;
    serde_json::from_slice(&ended.stdout).with_context(|| format!("read a JSON list, but {ended}"))
}

/// Every file of the test's own store, once the store has been opened.
fn files(case: &Case) -> Result<BTreeSet<PathBuf>> {
    case.tell(&["image", "ls"])?.expect_code(0)?;
    let mut found = BTreeSet::new();
    walk(&case.own_state(), &mut found);
    Ok(found)
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.insert(path);
        }
    }
}

fn bytes(files: &BTreeSet<PathBuf>) -> Result<u64> {
    let lengths = files
        .iter()
        .map(|path| fs::metadata(path).map(|about| about.len()));
    lengths.sum::<Result<u64, _>>().context("measure the store")
}

fn same_files(before: &BTreeSet<PathBuf>, after: &BTreeSet<PathBuf>) -> Result<()> {
    let changed: Vec<&PathBuf> = before.symmetric_difference(after).collect();
    ensure!(changed.is_empty(), "the store has changed: {changed:?}");
    Ok(())
}
