//! `cofferdam image`: archives go in whole or not at all, and come out of the store as a root file system.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::archive::{Archive, Layer, Packed};
use crate::case::Case;
use crate::deadlines;
use crate::running::Ended;
use crate::test_image;

/// Names the test program of the images crate that lets the guest's kernel judge the store's output.
pub(crate) const KERNEL_MOUNT_VARIABLE: &str = "COFFERDAM_KERNEL_MOUNT_TEST";

pub(crate) const TESTS: &[Test] = &[
    ("oci_archive_is_listed_run_and_removed", |case| {
        life_of_an_image(case, &oci()?)
    }),
    ("docker_archive_is_listed_run_and_removed", |case| {
        life_of_an_image(case, &docker()?)
    }),
    ("second_import_of_the_same_changes_nothing", second_import),
    ("layer_shared_by_two_images_is_kept_once", shared_layer),
    ("blob_with_other_bytes_keeps_nothing", |case| {
        broken(case, &other_bytes()?, &["sha256"])
    }),
    ("blob_that_is_missing_keeps_nothing", |case| {
        broken(case, &missing_blob()?, &["blobs/sha256"])
    }),
    ("layer_that_is_cut_short_keeps_nothing", |case| {
        broken(case, &cut_layer()?, &["sha256"])
    }),
    ("path_that_climbs_out_keeps_nothing", |case| {
        broken(case, &climbing_path()?, &["../"])
    }),
    ("archive_without_an_image_keeps_nothing", |case| {
        broken(case, &Archive::default(), &[])
    }),
    ("archive_that_is_cut_short_keeps_nothing", cut_archive),
    ("file_that_is_no_archive_keeps_nothing", no_archive),
    ("file_that_is_not_there_is_named", no_file),
    ("unknown_image_cannot_be_removed", unknown_image),
    ("erofs_compares_equal_to_tar_for_the_kernel", kernel_mount),
];

const NAME: &str = "imported";

/// What one layer hides of the one below it: a whiteout (OCI image spec, "Whiteouts").
fn upper() -> Result<Packed> {
    Layer::new()
        .file("etc/.wh.group", 0o644, b"")?
        .file("hello", 0o644, b"from the upper layer\n")?
        .finish()
}

fn oci() -> Result<Archive> {
    Ok(Archive::oci(
        NAME,
        &[test_image::busybox_layer()?, &upper()?],
    ))
}

fn docker() -> Result<Archive> {
    Ok(Archive::docker(
        &format!("{NAME}:latest"),
        &[test_image::busybox_layer()?, &upper()?],
    ))
}

/// A small image to be spoiled.
fn small() -> Result<Archive> {
    Ok(Archive::oci(
        NAME,
        &[&Layer::new()
            .file(
                "hello", 0o644, b"hello
",
            )?
            .finish()?],
    ))
}

fn life_of_an_image(case: &Case, archive: &Archive) -> Result<()> {
    let empty = files(case)?;
    import(case, archive)?.expect_code(0)?;
    ensure!(
        list(case)?.len() == 1,
        "one image is listed: {:?}",
        list(case)?
    );
    let names = list(case)?
        .first()
        .map(|image| image["names"].to_string())
        .unwrap_or_default();
    ensure!(names.contains(NAME), "it has the name {NAME}: {names}");

    let script = "cat /hello; ls /etc";
    let run = case.cofferdam(&["run", "--image", NAME, "--", "sh", "-c", script])?;
    let ended = case.finish(run, deadlines::RUN)?;
    ended.expect_code(0)?;
    let text = ended.text();
    ensure!(
        text.starts_with("from the upper layer\n"),
        "the upper layer is there: {ended}"
    );
    ensure!(
        text.contains("passwd") && !text.contains("group"),
        "the lower one shows but for the whiteout: {ended}"
    );

    case.tell(&["image", "rm", NAME])?.expect_code(0)?;
    ensure!(list(case)?.is_empty(), "none is listed: {:?}", list(case)?);
    same_files(&empty, &files(case)?)
}

fn second_import(case: &Case) -> Result<()> {
    import(case, &oci()?)?.expect_code(0)?;
    let first = files(case)?;
    import(case, &oci()?)?.expect_code(0)?;
    ensure!(list(case)?.len() == 1, "still one image: {:?}", list(case)?);
    same_files(&first, &files(case)?)
}

fn shared_layer(case: &Case) -> Result<()> {
    import(case, &oci()?)?.expect_code(0)?;
    let one = bytes(&files(case)?)?;
    let busybox = test_image::busybox_layer()?;
    let other = Layer::new().file("other", 0o644, b"other\n")?.finish()?;
    import(case, &Archive::oci("second", &[busybox, &other]))?.expect_code(0)?;
    let growth = bytes(&files(case)?)?.saturating_sub(one);
    ensure!(list(case)?.len() == 2, "two images: {:?}", list(case)?);
    let shared = u64::try_from(busybox.plain.len()).context("a length fits 64 bits")?;
    ensure!(
        growth < shared / 2,
        "the store grew by {growth} bytes, though a layer of {shared} is shared"
    );
    case.tell(&["image", "rm", NAME])?.expect_code(0)?;
    let run = case.cofferdam(&["run", "--image", "second", "--", "cat", "/other"])?;
    case.finish(run, deadlines::RUN)?
        .expect_code(0)?
        .expect_stdout("other\n")?;
    Ok(())
}

/// The layer's blob: the only one that is not JSON.
fn layer_blob(archive: &mut Archive) -> Result<(String, Vec<u8>)> {
    let blobs = archive
        .members
        .iter()
        .filter(|(name, _)| name.starts_with("blobs/"));
    let layer = blobs
        .filter(|(_, bytes)| !bytes.starts_with(b"{"))
        .map(|(name, _)| name.clone())
        .next();
    let name = layer.context("the archive has a layer")?;
    let bytes = archive
        .members
        .remove(&name)
        .context("the archive has that blob")?;
    Ok((name, bytes))
}

fn other_bytes() -> Result<Archive> {
    let mut archive = small()?;
    let (name, mut bytes) = layer_blob(&mut archive)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    archive.members.insert(name, bytes);
    Ok(archive)
}

fn missing_blob() -> Result<Archive> {
    let mut archive = small()?;
    layer_blob(&mut archive)?;
    Ok(archive)
}

fn cut_layer() -> Result<Archive> {
    let mut archive = small()?;
    let (name, mut bytes) = layer_blob(&mut archive)?;
    bytes.truncate(bytes.len() / 2);
    archive.members.insert(name, bytes);
    Ok(archive)
}

fn climbing_path() -> Result<Archive> {
    Ok(Archive::oci(
        NAME,
        &[&Layer::new()
            .file_at_raw_path(
                "../../climbed",
                b"out
",
            )?
            .finish()?],
    ))
}

/// Imports what can't be imported: an error with these words, and the store as it was.
fn broken(case: &Case, archive: &Archive, words: &[&str]) -> Result<()> {
    let before = files(case)?;
    import(case, archive)?
        .expect_failure()?
        .expect_stdout("")?
        .expect_error_naming(words)?;
    same_files(&before, &files(case)?)
}

fn cut_archive(case: &Case) -> Result<()> {
    let path = case.folder().join("whole.tar");
    small()?.write(&path)?;
    let whole = fs::read(&path).context("read the archive back")?;
    let cut = whole.get(..whole.len() / 2).unwrap_or_default();
    refuses_file(case, cut, &[])
}

fn no_archive(case: &Case) -> Result<()> {
    refuses_file(case, &[0x5a; 100_000], &["spoiled.tar"])?;
    refuses_file(case, b"", &["spoiled.tar"])
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

/// The images crate's own test does the comparing; here it meets a kernel with EROFS.
fn kernel_mount(case: &Case) -> Result<()> {
    let Some(program) = env::var_os(KERNEL_MOUNT_VARIABLE) else {
        eprintln!("skipped: {KERNEL_MOUNT_VARIABLE} does not name the test program");
        return Ok(());
    };
    case.finish(Command::new(program), deadlines::LONG_RUN)?
        .expect_code(0)?;
    Ok(())
}

fn import(case: &Case, archive: &Archive) -> Result<Ended> {
    let path = case.folder().join("image.tar");
    archive.write(&path)?;
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
