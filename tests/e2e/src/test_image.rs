//! The image that the tests run: Debian's static busybox, a program that dies, and a block of known bytes.
//!
//! Main function: [`archive`].

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use crate::archive::{Archive, Layer, Packed};

pub(crate) const NAME: &str = "e2e";

/// A file of known bytes in the image, a MiB long.
pub(crate) const BLOCK: &str = "/block";
const BLOCK_BYTES: usize = 1 << 20;

/// From Debian's package busybox-static.
const BUSYBOX: &str = "/usr/bin/busybox";

const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n";

pub(crate) fn archive() -> Result<Archive> {
    Ok(Archive::oci(NAME, &[busybox_layer()?, &own_layer()?]))
}

/// Bytes that no compressor and no luck reproduces: a linear congruential generator (Knuth, MMIX) from one seed.
pub(crate) fn block() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..BLOCK_BYTES).map(|_| next()).collect()
}

/// Made once: several images share it.
pub(crate) fn busybox_layer() -> Result<&'static Packed> {
    static LAYER: OnceLock<Result<Packed, String>> = OnceLock::new();
    let layer = LAYER.get_or_init(|| make_busybox_layer().map_err(|error| format!("{error:#}")));
    layer
        .as_ref()
        .map_err(|error| anyhow!("make the layer of busybox: {error}"))
}

fn make_busybox_layer() -> Result<Packed> {
    let busybox =
        fs::read(BUSYBOX).with_context(|| format!("read {BUSYBOX}: install busybox-static"))?;
    let mut layer = Layer::new()
        .folder("bin", 0o755)?
        .file("bin/busybox", 0o755, &busybox)?;
    for applet in applets()? {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox")?;
    }
    for folder in ["dev", "etc", "proc", "sys"] {
        layer = layer.folder(folder, 0o755)?;
    }
    layer
        .folder("tmp", 0o1777)?
        .file("etc/passwd", 0o644, PASSWD.as_bytes())?
        .file("etc/group", 0o644, GROUP.as_bytes())?
        .finish()
}

fn own_layer() -> Result<Packed> {
    let layer = Layer::new().file("bin/trap", 0o755, &program_that_dies())?;
    layer
        .file(BLOCK.trim_start_matches('/'), 0o644, &block())?
        .finish()
}

fn applets() -> Result<Vec<String>> {
    let listing = Command::new(BUSYBOX)
        .arg("--list")
        .output()
        .with_context(|| format!("run {BUSYBOX}"))?;
    ensure!(listing.status.success(), "{BUSYBOX} --list failed");
    let names = String::from_utf8(listing.stdout).context("read the list of busybox's commands")?;
    Ok(names
        .lines()
        .filter(|name| *name != "busybox")
        .map(str::to_owned)
        .collect())
}

/// The smallest ELF program (elf(5)): one segment with one instruction, `ud2`, which is SIGILL.
pub(crate) fn program_that_dies() -> Vec<u8> {
    const LOAD_AT: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    const CODE: [u8; 2] = [0x0f, 0x0b];
    let mut elf = Vec::new();
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // e_type EXEC, e_machine x86-64, e_version.
    elf.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    // e_entry, e_phoff, e_shoff.
    for word in [LOAD_AT + HEADERS, 64, 0] {
        elf.extend_from_slice(&word.to_le_bytes());
    }
    // e_flags; e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    elf.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend_from_slice(&half.to_le_bytes());
    }
    // p_type LOAD, p_flags read and execute.
    elf.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
    // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align.
    for word in [0, LOAD_AT, LOAD_AT, HEADERS + 2, HEADERS + 2, 0x1000] {
        elf.extend_from_slice(&word.to_le_bytes());
    }
    elf.extend_from_slice(&CODE);
    elf
}
