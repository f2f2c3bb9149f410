//! `pack-scratch-template --disk PATH --out PATH`: writes the template of scratch disks, by way of a temporary file beside it.

use std::fs::File;

use anyhow::Context;

const HELP: &str = "\
usage: pack-scratch-template --disk PATH --out PATH

Writes what of the disk image at --disk is not zero, in the form that `scratch_template`
in Cofferdam's configuration names. --out appears whole or not at all.
";

fn main() -> anyhow::Result<()> {
    guest_image::tool::convert(HELP, "--disk", |disk, out| {
        let disk = File::open(disk).with_context(|| format!("open {disk:?}"))?;
        Ok(guest_image::scratch::pack(&disk, out)?)
    })
}
