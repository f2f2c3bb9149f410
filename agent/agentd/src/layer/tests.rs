//! Layers in a folder: made and removed. Those in memory and on a disk are mounts; tests with an agent and with guests have them.

use super::*;

fn in_folder(path: &Path) -> Layer {
    Layer::of(1, Some(path.to_owned()), &Scratch::below(path))
}

#[test]
fn layer_in_a_folder_is_made_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pod/one");
    let layer = in_folder(&path);
    let made = layer.make(&dir.path().join("no mount point"));
    if let Err(LayerError::OnOverlay { .. }) = made {
        // Where the tests' temporary folder is on an overlay, that it is refused is all that can be seen.
        layer.remove().unwrap();
        assert!(!path.exists());
        return;
    }
    assert_eq!(made.unwrap(), path);
    fs::write(path.join("upper"), "x").unwrap();
    layer.remove().unwrap();
    assert!(!path.exists());
    // Once more: a release may be repeated.
    layer.remove().unwrap();
}

#[test]
fn layer_that_can_not_be_made_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("below");
    let error = in_folder(&below).make(dir.path()).unwrap_err();
    assert!(
        matches!(&error, LayerError::Folder { path, .. } if *path == below),
        "{error:?}"
    );
}

#[test]
fn layer_for_mount_points_only_needs_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let layer = Layer::of(0, Some(dir.path().join("one")), &Scratch::below(dir.path()));
    assert!(matches!(layer.place(), Place::Memory));
}
