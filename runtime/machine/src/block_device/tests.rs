//! What is no block device says so; a real one is in the test host.

use std::os::fd::AsFd;

use super::*;

#[test]
fn file_is_no_block_device() {
    let file = tempfile::tempfile().expect("make a file");
    let error = discard(file.as_fd(), 0, 4096).expect_err("a file takes no BLKDISCARD");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
}
