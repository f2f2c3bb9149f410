//! `make bench`: one boot of our monitor beside one boot of QEMU's microvm machine, same kernel, same guest image, same size. Counts,
//! bytes and ratios; no times, for in the test host they mean nothing. Rows that we lose are printed like the others.
//!
//! ```text
//! bench            chooses the place and starts itself there, twice: once as it is, once with QEMU's instruction clock
//! bench measure    measures in this place and writes what it found as JSON
//! ```

mod boot;
mod deadlines;
mod dist;
mod memory;
mod place;
mod qemu;
mod table;
mod trace;

use std::{env, io::Write, process::ExitCode};

use anyhow::Result;

use dist::Dist;

fn main() -> Result<ExitCode> {
    let dist = Dist::find()?;
    match env::args().nth(1).as_deref() {
        None => {
            let found = place::measure_twice()?;
            write!(
                std::io::stdout().lock(),
                "{}",
                table::render(&dist, &found)?
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Some("measure") => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let measured = runtime.block_on(boot::measure(&dist))?;
            serde_json::to_writer(std::io::stdout().lock(), &measured)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => anyhow::bail!("bench {other}: only `bench` and `bench measure` are known"),
    }
}
