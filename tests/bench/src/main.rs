//! `make bench`: one boot of our monitor beside one boot of QEMU's microvm machine, same kernel, same guest image, same size; then pods
//! of `cofferdam serve` beside those of containerd with runc. Counts, bytes and ratios; a time stands only beside another one, for in the
//! test host it means nothing alone. Rows that we lose are printed like the others.
//!
//! ```text
//! bench            chooses the place and starts itself there: for a boot as it is, for one with QEMU's instruction clock, for pods
//! bench measure    measures a boot in this place and writes what it found as JSON
//! bench pods       the same for pods
//! ```

mod boot;
mod deadlines;
mod dist;
mod memory;
mod place;
mod pods;
mod qemu;
mod table;
mod trace;

use std::{env, io::Write, process::ExitCode};

use anyhow::Result;

use dist::Dist;
use tokio::runtime::Runtime;

fn main() -> Result<ExitCode> {
    let dist = Dist::find()?;
    match env::args().nth(1).as_deref() {
        None => {
            let found = place::measure()?;
            write!(
                std::io::stdout().lock(),
                "{}",
                table::render(&dist, &found)?
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Some("measure") => {
            let measured = runtime()?.block_on(boot::measure(&dist))?;
            serde_json::to_writer(std::io::stdout().lock(), &measured)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("pods") => {
            let measured = runtime()?.block_on(pods::measure(&dist))?;
            serde_json::to_writer(std::io::stdout().lock(), &measured)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => anyhow::bail!("bench {other}: bench, bench measure, bench pods are known"),
    }
}

fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime)
}
