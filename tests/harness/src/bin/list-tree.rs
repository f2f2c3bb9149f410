//! `list-tree [--without-trusted] [--leave-out PATH]... ROOT`: prints the tree below ROOT as `harness::listing` has it. It is a
//! static program, so that it can be put into an image and run where nothing else is.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use harness::listing::{Listing, Trusted};

const HELP: &str = "\
usage: list-tree [--without-trusted] [--leave-out PATH]... ROOT

Prints a line for each file below ROOT, sorted: path, type and mode, owner, time, extended
attributes, and what it holds, as a digest that does not depend on holes.
  --without-trusted  leaves out the attributes that only CAP_SYS_ADMIN sees
  --leave-out PATH   does not look at PATH, relative to ROOT; a mount anywhere else is an error
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if matches!(arguments.as_slice(), [one] if one == "-h" || one == "--help") {
        return Ok(io::stdout().write_all(HELP.as_bytes())?);
    }
    parse(&arguments)?.write(BufWriter::new(io::stdout().lock()))
}

fn parse(arguments: &[String]) -> Result<Listing> {
    let mut words = arguments.iter();
    let mut root = None;
    let mut left_out: Vec<PathBuf> = Vec::new();
    let mut trusted = Trusted::Listed;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--without-trusted" => trusted = Trusted::LeftOut,
            "--leave-out" => left_out.push(words.next().context("--leave-out: say what")?.into()),
            path if root.is_none() && !path.starts_with('-') => root = Some(path.into()),
            _ => bail!("wrong arguments; see --help"),
        }
    }
    Ok(Listing {
        root: root.context("say which tree; see --help")?,
        left_out,
        trusted,
    })
}
