//! A run of all tests, which is not repeated where nothing has changed. Main type: [`WholeRun`].
//!
//! It is known by the content of everything that takes part: this program, the dist folder with the programs under test, and what the
//! environment says. Only a run that passed is noted, beside the dist folder; a clean checkout has no note, and runs them all.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libtest_mimic::Arguments;
use sha2::{Digest, Sha256};

use crate::case::Setting;
use crate::cri_many::PODS_VARIABLE;
use crate::cri_streaming::STREAM_MIB_VARIABLE;
use crate::deadlines::SCALE_VARIABLE;
use crate::image_compare::KERNEL_MOUNT_VARIABLE;

/// Set to 1, the tests run whatever has passed before.
pub(crate) const AGAIN_VARIABLE: &str = "COFFERDAM_E2E_AGAIN";

/// Where the note lies, beside the dist folder.
const NOTE: &str = "e2e-passed";

/// All tests on these very programs.
#[derive(Debug)]
pub(crate) struct WholeRun {
    note: PathBuf,
    content: String,
}

impl WholeRun {
    /// None where the arguments ask for a part of the tests.
    pub(crate) fn of(arguments: &Arguments, setting: &Setting) -> Result<Option<Self>> {
        let part = arguments.filter.is_some() || !arguments.skip.is_empty() || arguments.ignored;
        if part {
            return Ok(None);
        }
        let this = env::current_exe().context("find this program")?;
        let helper = env::var_os(KERNEL_MOUNT_VARIABLE).map(PathBuf::from);
        let programs = [this].into_iter().chain(helper).collect();
        Self::on(&setting.dist, programs).map(Some)
    }

    /// `programs` are those with the tests.
    pub(crate) fn on(dist: &Path, programs: Vec<PathBuf>) -> Result<Self> {
        let content = content(dist, programs).context("read the programs under test")?;
        let note = dist.with_file_name(NOTE);
        Ok(Self { note, content })
    }

    pub(crate) fn passed_before(&self) -> bool {
        fs::read_to_string(&self.note).is_ok_and(|note| note == self.content)
    }

    /// Notes that it has passed.
    pub(crate) fn passed(&self) -> Result<()> {
        fs::write(&self.note, &self.content)
            .with_context(|| format!("write {}", self.note.display()))
    }
}

/// Whether somebody wants the tests to run whatever has passed before.
pub(crate) fn is_wanted_again() -> bool {
    env::var_os(AGAIN_VARIABLE).is_some_and(|value| value == "1")
}

/// One digest of all that takes part.
fn content(dist: &Path, programs: Vec<PathBuf>) -> Result<String> {
    let mut hash = Sha256::new();
    let mut files = programs;
    let entries = fs::read_dir(dist)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    files.extend(entries.into_iter().filter(|path| path.is_file()));
    for path in files {
        let mut file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        // Path and length before the bytes: no two lists of files have the same digest.
        hash.update(format!("{path:?} {}\n", file.metadata()?.len()));
        io::copy(&mut file, &mut Update(&mut hash))?;
    }
    for name in [SCALE_VARIABLE, PODS_VARIABLE, STREAM_MIB_VARIABLE] {
        let value = env::var_os(name).unwrap_or_default();
        hash.update(format!("{name}={value:?}\n"));
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Bytes that are written go into the digest.
struct Update<'a>(&'a mut Sha256);

impl io::Write for Update<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
