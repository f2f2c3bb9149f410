//! What is copied from the image's root to the writable layer that covers it.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use super::*;

#[test]
fn copy_attributes_copies_all_but_what_overlayfs_keeps() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(from.path(), Some(7), Some(8)).unwrap();
    }
    fs::set_permissions(from.path(), Permissions::from_mode(0o1751)).unwrap();
    let set = |name: &str| rustix::fs::setxattr(from.path(), name, b"v", XattrFlags::empty());
    // File systems differ on user attributes, and users on trusted ones.
    let (user, overlay) = (set("user.note"), set("trusted.overlay.opaque"));
    let old = Timespec {
        tv_sec: -5,
        tv_nsec: 7,
    };
    let times = Timestamps {
        last_access: old,
        last_modification: old,
    };
    rustix::fs::utimensat(CWD, from.path(), &times, AtFlags::empty()).unwrap();

    copy_attributes(from.path(), to.path()).unwrap();

    let (one, other) = (from.path(), to.path());
    let seen = |path: &Path| {
        let about = fs::metadata(path).unwrap();
        let time = (about.mtime(), about.mtime_nsec());
        (about.mode(), about.uid(), about.gid(), time)
    };
    assert_eq!(seen(other), seen(one));
    assert_eq!(seen(other).3, (-5, 7));
    let has = |name: &str| rustix::fs::getxattr(other, name, &mut [0; 9][..]).is_ok();
    assert_eq!(has("user.note"), user.is_ok());
    assert!(!has("trusted.overlay.opaque"), "{overlay:?}");
}
