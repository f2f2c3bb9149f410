//! The files under measurement: what `make dist` leaves. Main type: [`Dist`].

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The dist folder.
#[derive(Debug)]
pub(crate) struct Dist {
    folder: PathBuf,
}

impl Dist {
    /// Where COFFERDAM_DIST says, or target/dist of this checkout.
    pub(crate) fn find() -> Result<Self> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/dist");
        let folder = env::var_os("COFFERDAM_DIST").map_or(default, PathBuf::from);
        let folder = folder.canonicalize();
        let folder = folder.context("find the programs to measure: `make dist` builds them")?;
        let dist = Self { folder };
        ensure!(
            dist.monitor().is_file(),
            "no cofferdam-vmm in {}",
            dist.folder.display()
        );
        Ok(dist)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("cofferdam")
    }

    pub(crate) fn monitor(&self) -> PathBuf {
        self.folder.join("cofferdam-vmm")
    }

    pub(crate) fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    pub(crate) fn guest_image(&self) -> PathBuf {
        self.folder.join("guest.cpio")
    }

    pub(crate) fn open(path: &Path) -> Result<File> {
        File::open(path).with_context(|| format!("open {}", path.display()))
    }

    /// Size of one of the programs, in bytes.
    pub(crate) fn size(&self, program: &str) -> Result<u64> {
        let path = self.folder.join(program);
        Ok(fs::metadata(&path)
            .with_context(|| format!("look at {}", path.display()))?
            .len())
    }
}
