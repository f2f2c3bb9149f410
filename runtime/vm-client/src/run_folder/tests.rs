//! Tests on real folders.

use std::os::unix::fs::FileTypeExt;

use super::*;

#[test]
fn sockets_are_private_and_gone_with_a_failed_launch() {
    let folder = tempfile::tempdir().unwrap();
    let bound = listen(folder.path()).unwrap();
    for name in [CONTROL_SOCKET, VSOCK_SOCKET] {
        let found = fs::metadata(folder.path().join(name)).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
    }
    drop(bound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn sockets_of_a_dead_monitor_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = listen(folder.path()).unwrap();
    first.keep();
    drop(first);
    let mut second = listen(folder.path()).unwrap();
    second.keep();
    drop(second);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

fn check_fails(folder: &Path, expect: &str) {
    let error = listen(folder).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn folder_that_can_not_hold_sockets_is_named() {
    check_fails(
        Path::new("/nowhere/at/all"),
        "bind the socket /nowhere/at/all/control.sock",
    );
    check_fails(
        Path::new(&format!("/{}", "x".repeat(120))),
        "use a shorter run folder",
    );
}
