//! A made-up image: some code, a false magic, the payload, more bytes.

use std::io::Write;

use super::*;

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("xz")
        .args(["-c", "--check=crc32"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn kernel_behind_a_false_magic_and_before_other_bytes_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (image, out) = (
        directory.path().join("bzImage"),
        directory.path().join("vmlinux"),
    );
    let kernel = [&b"\x7fELF"[..], &[7; 5000]].concat();
    let bytes = [
        &b"MZ code \xfd7zXZ\0 code"[..],
        &xz(&kernel),
        b"piggy's length",
    ]
    .concat();
    fs::write(&image, bytes).unwrap();
    unpack(&image, &out).unwrap();
    assert_eq!(fs::read(&out).unwrap(), kernel);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn image_without_kernel_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bzImage");
    fs::write(&image, b"no kernel").unwrap();
    let error = unpack(&image, &directory.path().join("vmlinux")).unwrap_err();
    assert!(matches!(error, TestbedError::NoElf { .. }));
}
