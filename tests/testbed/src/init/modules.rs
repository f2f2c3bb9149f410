//! Loads the modules of the initramfs, in the order of its list.

use std::fs::{self, File};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::system::finit_module;
use testbed::control;

/// MODULE_INIT_COMPRESSED_FILE (linux/module.h): the kernel decompresses it, if it was built to.
const COMPRESSED: i32 = 4;

pub(crate) fn load_all() -> Result<()> {
    let list =
        fs::read_to_string(format!("/{}", control::MODULE_LIST)).context("read module list")?;
    for name in list.lines() {
        let path = format!("/{}/{name}", control::MODULE_FOLDER);
        let file = File::open(&path).with_context(|| format!("open {path}"))?;
        let compressed = name.ends_with(control::COMPRESSED_MODULE);
        match finit_module(&file, c"", if compressed { COMPRESSED } else { 0 }) {
            Ok(()) | Err(Errno::EXIST) => {}
            // Not fatal: a command that needs it will say so better, and most need no KVM.
            Err(error) => eprintln!("testbed-init: load module {name}: {error}"),
        }
    }
    Ok(())
}
