//! The image that most tests run: Debian's busybox-static with a name for each of its programs, and the few files that
//! ordinary images have.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::{Compression, ImageBuilder, Layer};

/// Where Debian's package has it.
const BUSYBOX: &str = "/bin/busybox";
/// The name of the image.
pub const REFERENCE: &str = "busybox:latest";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";

/// The image, without a change for the caller to add to.
pub fn busybox_image() -> Result<ImageBuilder> {
    let program = fs::read(BUSYBOX).with_context(|| {
        format!("read {BUSYBOX}: install Debian's busybox-static (tests/testbed/packages image)")
    })?;
    let listed = Command::new(BUSYBOX)
        .arg("--list")
        .output()
        .context("ask busybox for its list")?;
    ensure!(
        listed.status.success(),
        "{BUSYBOX} --list failed: {}",
        listed.status
    );
    let names = String::from_utf8(listed.stdout).context("busybox's list")?;

    let mut layer = Layer::new(Compression::Gzip);
    for folder in [
        "bin", "dev", "etc", "proc", "root", "run", "sys", "usr", "var",
    ] {
        layer = layer.directory(folder, 0o755);
    }
    layer = layer
        .directory("tmp", 0o1777)
        .file("bin/busybox", 0o755, program);
    for name in names
        .lines()
        .filter(|name| !matches!(*name, "" | "busybox"))
    {
        layer = layer.symlink(&format!("bin/{name}"), "busybox");
    }
    layer = layer
        .file("etc/passwd", 0o644, PASSWD)
        .file("etc/group", 0o644, GROUP);
    Ok(ImageBuilder::new(REFERENCE)
        .layer(layer)
        .env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
        .cmd(&["sh"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busybox_image_is_the_same_each_time() {
        if !std::path::Path::new(BUSYBOX).exists() {
            eprintln!("SKIPPED busybox_image_is_the_same_each_time: no {BUSYBOX}");
            return;
        }
        let digest = || busybox_image().unwrap().build().unwrap().manifest.digest;
        assert_eq!(digest(), digest());
    }
}
