//! `make-busybox-image --out FILE.tar`: writes the test image as an OCI archive.

use std::io::Write;
use std::path::Path;

use anyhow::bail;

const HELP: &str = "\
usage: make-busybox-image --out FILE.tar

Writes an OCI archive with the image busybox:latest, made from this machine's static
/bin/busybox (Debian package busybox-static).
";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["-h" | "--help"] => Ok(std::io::stdout().write_all(HELP.as_bytes())?),
        ["--out", path] => harness::busybox::busybox_image()?
            .build()?
            .write_oci_archive(Path::new(path)),
        _ => bail!("wrong arguments; see --help"),
    }
}
