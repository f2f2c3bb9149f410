//! Where the measuring is done: here where the hardware can run guests, else in the nested test host. Instructions can only be
//! counted in the test host: QEMU's instruction clock makes a nanosecond of processor time one instruction. Main function:
//! [`measure`].

use std::{env, fs};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use testbed::{Options, Outcome};

use crate::{boot::Measured, deadlines, pods};

/// What the rounds gave.
#[derive(Debug)]
pub(crate) struct Found {
    /// With all processors, in a host as it is.
    pub(crate) plain: Measured,
    /// Under the instruction clock; its `processor_ns` are instructions.
    pub(crate) counted: Measured,
    /// Pods, in a host as it is.
    pub(crate) pods: pods::Measured,
}

pub(crate) fn measure() -> Result<Found> {
    Ok(Found {
        plain: round("measure", false)?,
        counted: round("measure", true)?,
        pods: round("pods", false)?,
    })
}

fn round<Figures: DeserializeOwned>(what: &str, instruction_clock: bool) -> Result<Figures> {
    let results = tempfile::tempdir().context("make a folder for the results")?;
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let dist = env::var("COFFERDAM_DIST").unwrap_or_default();
    let environment = if dist.is_empty() {
        Vec::new()
    } else {
        vec![("COFFERDAM_DIST".to_owned(), dist)]
    };
    // A shell for the redirection: the host's console is for what people read.
    let command = [
        "sh",
        "-c",
        "exec \"$0\" \"$1\" > /results/measured.json",
        &program,
        what,
    ];
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
