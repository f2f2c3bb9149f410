//! Loop devices for tests. Main type: [`Loop`].

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A loop device over a file, on a host that has them.
pub(super) struct Loop(pub(super) PathBuf);

impl Loop {
    pub(super) fn new(file: &Path) -> Option<Self> {
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output();
        match made {
            Ok(made) if made.status.success() => {
                let path = String::from_utf8(made.stdout).unwrap();
                Some(Self(path.trim().into()))
            }
            refused => {
                println!("SKIPPED: a loop device can't be made: {refused:?}");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It would be read-only for the next one that gets it, too.
        let unlocked = Command::new("blockdev")
            .arg("--setrw")
            .arg(&self.0)
            .status();
        assert!(unlocked.unwrap().success());
        let detached = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
        assert!(detached.unwrap().success());
    }
}
