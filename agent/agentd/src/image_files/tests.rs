//! What is refused before anything is made.

use super::*;

fn file(path: &str, length_bytes: u64) -> wire::ImageFile {
    wire::ImageFile {
        path: path.to_owned(),
        length_bytes,
        ..Default::default()
    }
}

#[test]
fn files_have_absolute_paths_and_are_not_too_many() {
    let check = |files: &[wire::ImageFile], words: &str| {
        let fault = ImageFiles::parse(files).unwrap_err();
        assert!(fault.message.contains(words), "{}", fault.message);
    };
    check(&[file("/a", 1), file("b", 1)], "\"b\" is not an absolute");
    check(&vec![file("/a", 1); 258], "258 files");
    assert!(ImageFiles::parse(&vec![file("/a", 1); 257]).is_ok());
}

#[test]
fn file_of_another_length_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, "1234").unwrap();
    let open = |length_bytes| {
        let path = path.clone();
        ImageFile { path, length_bytes }.open()
    };
    assert!(open(4).is_ok());
    let error = open(5).unwrap_err().to_string();
    assert!(error.ends_with("blob has 4 bytes instead of 5"), "{error}");
}

#[test]
fn link_in_place_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "1234").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let opened = ImageFile {
        path: link,
        length_bytes: 4,
    }
    .open();
    assert!(matches!(opened, Err(ImageFilesError::Open { .. })));
}
