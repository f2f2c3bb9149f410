//! `pack-scratch-template --disk PATH --out PATH`: writes the template of scratch disks, by way of a temporary file beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

const HELP: &str = "\
usage: pack-scratch-template --disk PATH --out PATH

Writes what of the disk image at --disk is not zero, in the form that `scratch_template`
in Cofferdam's configuration names. --out appears whole or not at all.
";

fn main() -> anyhow::Result<()> {
    let (mut disk, mut out) = (None, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| -> anyhow::Result<Option<PathBuf>> {
            let value: OsString = arguments
                .next()
                .with_context(|| format!("{name}: no path"))?;
            Ok(Some(PathBuf::from(value)))
        };
        match argument.to_str() {
            Some("--disk") => disk = value("--disk")?,
            Some("--out") => out = value("--out")?,
            Some("-h" | "--help") => {
                return Ok(std::io::stdout().write_all(HELP.as_bytes())?);
            }
            _ => bail!("unknown argument {argument:?}; see --help"),
        }
    }
    let disk = disk.context("--disk is missing; see --help")?;
    let out = out.context("--out is missing; see --help")?;

    let temporary = out.with_extension("new");
    let file = File::create(&temporary).with_context(|| format!("create {temporary:?}"))?;
    let source = File::open(&disk).with_context(|| format!("open {disk:?}"))?;
    guest_image::scratch::pack(&source, BufWriter::new(file))?;
    fs::rename(&temporary, &out).with_context(|| format!("rename {temporary:?} to {out:?}"))
}
