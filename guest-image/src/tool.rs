//! What the tools of this crate have in common: each makes one file of another one. Main function: [`convert`].

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Reads the arguments `SOURCE PATH --out PATH` and writes --out, by way of a temporary file beside it, so that it appears whole or not at
/// all. `--help` prints `help` instead.
pub fn convert(
    help: &str,
    source: &str,
    write: impl FnOnce(&Path, BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut from, mut out) = (None, None);
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| -> anyhow::Result<Option<PathBuf>> {
            let value: OsString = arguments
                .next()
                .with_context(|| format!("{name}: no path"))?;
            Ok(Some(PathBuf::from(value)))
        };
        match argument.to_str() {
            Some(name) if name == source => from = value(name)?,
            Some("--out") => out = value("--out")?,
            Some("-h" | "--help") => {
                return Ok(io::stdout().write_all(help.as_bytes())?);
            }
            _ => bail!("unknown argument {argument:?}; see --help"),
        }
    }
    let from = from.with_context(|| format!("{source} is missing; see --help"))?;
    let out = out.context("--out is missing; see --help")?;

    let temporary = out.with_extension("new");
    let file = File::create(&temporary).with_context(|| format!("create {temporary:?}"))?;
    write(&from, BufWriter::new(file))?;
    fs::rename(&temporary, &out).with_context(|| format!("rename {temporary:?} to {out:?}"))
}
