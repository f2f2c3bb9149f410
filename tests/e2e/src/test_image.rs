//! The image that the tests run: the harness's busybox, and above it a layer with what these tests look for.
//!
//! Main function: [`bundle`].

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use harness::busybox;
use harness::image::{Bundle, Compression, Layer};

pub(crate) const NAME: &str = busybox::REFERENCE;

/// A file of known bytes in the image, a MiB long.
pub(crate) const BLOCK: &str = "/block";
const BLOCK_BYTES: usize = 1 << 20;

/// A file of the upper layer and what it says.
pub(crate) const HELLO: &str = "/hello";
pub(crate) const GREETING: &str = "from the upper layer\n";

/// A folder of the lower layer that the upper one takes away.
pub(crate) const TAKEN_AWAY: &str = "/var";

/// Built once: compressing and hashing are dear in a debug build where everything is emulated.
pub(crate) fn bundle() -> Result<&'static Bundle> {
    static BUNDLE: OnceLock<Result<Bundle, String>> = OnceLock::new();
    let bundle = BUNDLE.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    bundle
        .as_ref()
        .map_err(|error| anyhow!("build the test image: {error}"))
}

fn build() -> Result<Bundle> {
    let in_root = |path: &'static str| path.trim_start_matches('/');
    let layer = Layer::new(Compression::None)
        .file("bin/trap", 0o755, program_that_dies())
        .file(in_root(BLOCK), 0o644, block())
        .file(in_root(HELLO), 0o644, GREETING)
        .whiteout(in_root(TAKEN_AWAY));
    busybox::busybox_image()?.layer(layer).build()
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
