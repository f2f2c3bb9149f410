//! `build-guest-image --agent PATH --out PATH`: writes the guest image, by way of a temporary file beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

const HELP: &str = "\
usage: build-guest-image --agent PATH --out PATH

Writes the root of the guest: an uncompressed cpio archive with the static program at
--agent as /init, /dev/console, and empty folders to mount on. The same agent gives the
same bytes. --out appears whole or not at all.
";

fn main() -> anyhow::Result<()> {
    let (mut agent, mut out) = (None, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| -> anyhow::Result<Option<PathBuf>> {
            let value: OsString = arguments
                .next()
                .with_context(|| format!("{name}: no path"))?;
            Ok(Some(PathBuf::from(value)))
        };
        match argument.to_str() {
            Some("--agent") => agent = value("--agent")?,
            Some("--out") => out = value("--out")?,
            Some("-h" | "--help") => {
                return Ok(std::io::stdout().write_all(HELP.as_bytes())?);
            }
            _ => bail!("unknown argument {argument:?}; see --help"),
        }
    }
    let agent = agent.context("--agent is missing; see --help")?;
    let out = out.context("--out is missing; see --help")?;

    let temporary = out.with_extension("new");
    let file = File::create(&temporary).with_context(|| format!("create {temporary:?}"))?;
    guest_image::write_guest_image(&agent, BufWriter::new(file))?;
    fs::rename(&temporary, &out).with_context(|| format!("rename {temporary:?} to {out:?}"))
}
