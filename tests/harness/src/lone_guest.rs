//! PID 1 of a guest that does nothing but measure: for a VM of another monitor, which has no agent. Main function: [`run`].
//!
//! Neighbours: [`crate::speed`], which measures, and the host, which shares a folder with it by virtio-fs: there the guest says that it is ready for
//! a step, waits for a word, and leaves what came out.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

use crate::speed::{self, Cache, Figure};

/// The tag of the shared folder.
pub const TAG: &str = "bench";

/// The steps, in their order.
pub const STEPS: [&str; 2] = ["share", "block"];

/// Between two looks at whether the host wants the next step: few, for each leaves the guest.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

const SHARE: &str = "/share";
const DISK: &str = "/dev/vda";

/// Where either side finds what the other says of a step, below the shared folder.
pub fn ready(share: &Path, step: &str) -> PathBuf {
    share.join(format!("{step}.ready"))
}

pub fn go(share: &Path, step: &str) -> PathBuf {
    share.join(format!("{step}.go"))
}

pub fn result(share: &Path, step: &str) -> PathBuf {
    share.join(format!("{step}.result"))
}

/// Does all steps, and then waits for the end of its VM.
pub fn run() -> Result<()> {
    let none = MountFlags::empty();
    mount("devtmpfs", "/dev", "devtmpfs", none, None).context("mount /dev")?;
    mount(TAG, SHARE, "virtiofs", none, None).context("mount the share")?;
    let share = Path::new(SHARE);
    for step in STEPS {
        fs::write(ready(share, step), b"").context("say that it is ready")?;
        while !go(share, step).exists() {
            thread::park_timeout(LOOK_AGAIN);
        }
        let text = match measure(share, step) {
            Ok(figures) => serde_json::to_string(&figures)?,
            Err(error) => format!("error: {error:#}"),
        };
        // Whoever sees it sees the whole of it.
        let part = share.join("part");
        fs::write(&part, text).context("write what came out")?;
        fs::rename(&part, result(share, step)).context("leave what came out")?;
    }
    loop {
        thread::park();
    }
}

fn measure(share: &Path, step: &str) -> Result<Vec<Figure>> {
    if step == "block" {
        return speed::device(Path::new(DISK), Cache::Cold);
    }
    let folder = share.join("folder");
    fs::create_dir(&folder).context("make a folder")?;
    speed::folder(&folder, Cache::Cold)
}
