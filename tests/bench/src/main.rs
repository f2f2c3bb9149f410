//! `make bench`: one boot of our monitor beside one boot of QEMU's microvm machine, same kernel, same guest image, same size; then pods
//! of `cofferdam serve` beside those of containerd with runc; then files in a pod beside those of the host and of QEMU with virtiofsd. Counts, bytes and ratios; a time stands only beside another one, for in the
//! test host it means nothing alone. Rows that we lose are printed like the others.
//!
//! ```text
//! bench               chooses the place and starts itself there: for a boot as it is, for one with QEMU's instruction clock, for pods, for storage
//! bench only TOPIC    the same for one of boot, pods, storage
//! bench measure       measures a boot in this place and writes what it found as JSON
//! bench pods          the same for pods
//! bench storage       the same for files; its folders are where TMPDIR says
//! ```

mod boot;
mod deadlines;
mod dist;
mod memory;
mod place;
mod pods;
mod qemu;
mod storage;
mod table;
mod trace;

use std::{env, io::Write, process::ExitCode};

use anyhow::{Context, Result};

use dist::Dist;
use serde::Serialize;
use tokio::runtime::Runtime;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug)]
enum Topic {
    Boot,
    Pods,
    Storage,
}

/// By their names.
const TOPICS: [(&str, Topic); 3] = [
    ("boot", Topic::Boot),
    ("pods", Topic::Pods),
    ("storage", Topic::Storage),
];

fn main() -> Result<ExitCode> {
    let dist = Dist::find()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => in_its_place(&dist, &TOPICS.map(|(_, topic)| topic))?,
        ["only", wanted] => {
            let named = TOPICS.iter().find(|(name, _)| name == wanted);
            let (_, topic) = named.with_context(|| {
                format!("bench only {wanted}: the topics are boot, pods and storage")
            })?;
            in_its_place(&dist, &[*topic])?;
        }
        ["measure"] => tell(&runtime()?.block_on(boot::measure(&dist))?)?,
        ["pods"] => tell(&runtime()?.block_on(pods::measure(&dist))?)?,
        ["storage"] => tell(&runtime()?.block_on(storage::measure(&dist))?)?,
        other => anyhow::bail!(
            "bench {}: bench, bench only TOPIC, bench measure, bench pods, bench storage are known",
            other.join(" ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_its_place(dist: &Dist, topics: &[Topic]) -> Result<()> {
    let found = place::measure(topics)?;
    write!(std::io::stdout().lock(), "{}", table::render(dist, &found)?)?;
    Ok(())
}

fn tell(measured: &impl Serialize) -> Result<()> {
    Ok(serde_json::to_writer(std::io::stdout().lock(), measured)?)
}

fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime)
}
