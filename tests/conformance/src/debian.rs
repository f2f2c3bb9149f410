//! Debian packages as folders: fetched with apt-get, unpacked, never installed. Main type: [`Packages`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Packages, each unpacked in a folder with its name.
#[derive(Debug)]
pub(crate) struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Fetches what is not there yet.
    pub(crate) fn fetch(names: &[&str], folder: &Path) -> Result<Self> {
        for name in names {
            let target = folder.join(name);
            if !target.exists() {
                fetch(name, &target).with_context(|| format!("fetch Debian's {name}"))?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Where a file of a package is. Debian is moving files below /usr: both places are looked at.
    pub(crate) fn path(&self, package: &str, file: &str) -> Result<PathBuf> {
        let root = self.folder.join(package);
        let places = [root.join(file), root.join("usr").join(file)];
        let found = places.into_iter().find(|path| path.exists());
        found.with_context(|| format!("Debian's {package} has no {file}"))
    }

    pub(crate) fn read(&self, package: &str, file: &str) -> Result<Vec<u8>> {
        let path = self.path(package, file)?;
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    }
}

fn fetch(name: &str, target: &Path) -> Result<()> {
    let scratch = target.with_extension("fetching");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("remove an interrupted fetch")?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    let download = || run("apt-get", &["download", "-qq", name], &scratch);
    if download().is_err() {
        // apt that knows no package has no lists, which is how fresh machines are.
        run("apt-get", &["update", "-qq"], &scratch)?;
        download()?;
    }
    let mut entries = fs::read_dir(&scratch).context("list the download")?;
    let archive = entries.next().context("nothing was downloaded")?;
    let archive = archive.context("list the download")?.path();
    let arguments = ["--extract", &archive.to_string_lossy(), "."];
    run("dpkg-deb", &arguments, &scratch)?;
    fs::remove_file(&archive).context("remove the archive")?;
    // In place when it is whole.
    fs::rename(&scratch, target).with_context(|| format!("make {}", target.display()))
}

fn run(program: &str, arguments: &[&str], directory: &Path) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}: the images are made on Debian 12"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}
