//! Where the measuring is done: here where the hardware can run guests, else in the nested test host. Instructions can only be
//! counted in the test host: QEMU's instruction clock makes a nanosecond of processor time one instruction. Main function:
//! [`measure`].

use std::{env, fs};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use testbed::{Options, Outcome};

use crate::{Topic, boot::Measured, deadlines, pods, storage};

/// A file system of its own for what is measured, as a disk is one: the host's root lies in its memory. `$0 "$@"` is done there.
const ON_A_DISK: &str = "set -e; truncate -s 2G /disk.ext4; mkfs.ext4 -q /disk.ext4; mkdir /disk; mount -o loop /disk.ext4 /disk; \
                         export TMPDIR=/disk; ";

/// What the rounds gave.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) boots: Option<Boots>,
    /// Pods, in a host as it is.
    pub(crate) pods: Option<pods::Measured>,
    /// Files, in a host with a disk.
    pub(crate) storage: Option<storage::Measured>,
}

/// One boot, twice.
#[derive(Debug)]
pub(crate) struct Boots {
    /// With all processors, in a host as it is.
    pub(crate) plain: Measured,
    /// Under the instruction clock; its `processor_ns` are instructions.
    pub(crate) counted: Measured,
}

pub(crate) fn measure(topics: &[Topic]) -> Result<Found> {
    let mut found = Found::default();
    for topic in topics {
        match topic {
            Topic::Boot => {
                found.boots = Some(Boots {
                    plain: round("measure", "", false)?,
                    counted: round("measure", "", true)?,
                });
            }
            Topic::Pods => found.pods = Some(round("pods", "", false)?),
            Topic::Storage => found.storage = Some(round("storage", ON_A_DISK, false)?),
        }
    }
    Ok(found)
}

/// Does it in a test host, after what `before` does there.
fn round<Figures: DeserializeOwned>(
    what: &str,
    before: &str,
    instruction_clock: bool,
) -> Result<Figures> {
    let results = tempfile::tempdir().context("make a folder for the results")?;
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let dist = env::var("COFFERDAM_DIST").unwrap_or_default();
    let environment = if dist.is_empty() {
        Vec::new()
    } else {
        vec![("COFFERDAM_DIST".to_owned(), dist)]
    };
    // A shell for the redirection: the host's console is for what people read.
    let script = format!("{before}exec \"$0\" \"$1\" > /results/measured.json");
    let command = ["sh", "-c", &script, &program, what];
    let options = Options {
        command: command.map(str::to_owned).to_vec(),
        environment,
        timeout: deadlines::PLACE,
        results: Some(results.path().to_owned()),
        instruction_clock,
        ..Options::default()
    };
    let outcome = testbed::run(&options)?;
    ensure!(
        outcome == Outcome::Exited(0),
        "the measurement ended with {outcome:?}"
    );
    let json = fs::read(results.path().join("measured.json")).context("read the results")?;
    serde_json::from_slice(&json).context("understand the results")
}
