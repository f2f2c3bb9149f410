//! Images in folders: made once, kept, and refused where a container could have laid something else.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

use super::{
    image::{self, ImageError},
    *,
};

const DISK_BYTES: u64 = 1 << 20;

/// The template of an empty disk with four bytes at its begin, and a folder.
fn stage() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let stage = tempfile::tempdir().unwrap();
    let (template, folder) = (stage.path().join("template"), stage.path().join("folder"));
    let mut bytes = b"CFDISK\0\x01".to_vec();
    bytes.extend(DISK_BYTES.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(4096_u32.to_le_bytes());
    let mut block = vec![0; 4096];
    block[..4].copy_from_slice(b"XFSB");
    bytes.extend(block);
    fs::write(&template, bytes).unwrap();
    fs::create_dir(&folder).unwrap();
    (stage, template, folder)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(name)
        .map(|name| name.into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn image_is_made_once_sparse_and_for_one_vm_at_a_time() {
    let (_stage, template, folder) = stage();
    // As a daemon left it that died.
    fs::write(folder.join("cofferdam.disk.new"), "half").unwrap();
    let (file, length) = image::open(&folder, &template).unwrap();
    assert_eq!(length, DISK_BYTES);
    assert_eq!(names(&folder), ["cofferdam.disk"]);
    assert!(file.metadata().unwrap().blocks() * 512 < DISK_BYTES / 2);
    let error = image::open(&folder, &template).unwrap_err();
    assert!(matches!(error, ImageError::InUse { .. }), "{error}");
    let path = folder.join("cofferdam.disk");
    fs::write(&path, vec![7; 4096]).unwrap();
    drop(file);
    // What is there stays, whatever the template.
    let (_file, length) = image::open(&folder, Path::new("/nothing")).unwrap();
    assert_eq!(length, 4096);
}

#[test]
fn what_is_no_image_is_refused_and_nothing_is_left() {
    let (stage, template, folder) = stage();
    let path = folder.join("cofferdam.disk");
    let secret = stage.path().join("secret");
    File::create(&secret).unwrap().set_len(4096).unwrap();
    let check = |words: &str| {
        let error = model::chain(&image::open(&folder, &template).unwrap_err());
        assert!(error.contains(words), "{error}");
        fs::remove_file(&path).ok();
        fs::remove_dir(&path).ok();
        assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    };
    symlink(&secret, &path).unwrap();
    check("is no disk");
    fs::hard_link(&secret, &path).unwrap();
    check("is no disk");
    File::create(&path).unwrap();
    check("is no disk");
    fs::write(&path, "513 bytes are no sectors").unwrap();
    check("is no disk");
    fs::create_dir(&path).unwrap();
    check("open");
    fs::write(&template, "another kind of file").unwrap();
    check("it does not begin with CFDISK");
    let gone = stage.path().join("gone");
    let error = image::open(&gone, &template).unwrap_err();
    assert!(error.to_string().contains("open the folder"), "{error}");
}

#[test]
fn disk_is_named_after_its_folder() {
    let named = |path: &str| {
        let volume = crate::volumes::of_disk(Path::new(path)).unwrap();
        disk_id(&volume).unwrap()
    };
    assert_eq!(named("/a"), named("/a"));
    assert_ne!(named("/a"), named("/b"));
    assert_eq!(named("/a").as_str().len(), NAME_BYTES);
}
