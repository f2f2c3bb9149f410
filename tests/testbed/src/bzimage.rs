//! Takes the uncompressed ELF kernel out of a bzImage: an emulated CPU would take seconds to decompress it at each
//! boot, and the ELF file has the PVH entry that QEMU starts at.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Result, TestbedError, file_error};

/// How each compressed payload begins, and the program that unpacks it. Programs exit with an error for the bytes that
/// follow the payload, so only what they wrote counts.
const FORMATS: [(&[u8], &str); 4] = [
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x02!L\x18", "lz4"),
];

/// Writes the ELF kernel inside `image` to `out`.
pub(crate) fn unpack(image: &Path, out: &Path) -> Result<()> {
    let bytes = fs::read(image).map_err(file_error("read", image))?;
    let payload = out.with_extension("payload");
    for (program, offset) in candidates(&bytes) {
        fs::write(&payload, &bytes[offset..]).map_err(file_error("write", &payload))?;
        decompress(program, &payload, out)?;
        if is_elf(out) {
            return fs::remove_file(&payload).map_err(file_error("remove", &payload));
        }
    }
    Err(TestbedError::NoElf {
        path: image.to_owned(),
    })
}

/// Every place where one of the formats may begin: its magic may also occur by chance.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = (&'static str, usize)> {
    FORMATS.iter().flat_map(move |(magic, program)| {
        let at = move |(offset, window): (usize, &[u8])| (window == *magic).then_some(offset);
        bytes
            .windows(magic.len())
            .enumerate()
            .filter_map(at)
            .map(|offset| (*program, offset))
    })
}

fn decompress(program: &str, payload: &Path, out: &Path) -> Result<()> {
    let input = File::open(payload).map_err(file_error("open", payload))?;
    let output = File::create(out).map_err(file_error("create", out))?;
    Command::new(program)
        .arg("-dcq")
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::null())
        .status()
        .map(|_| ())
        .map_err(|source| TestbedError::StartTool {
            program: program.to_owned(),
            source,
        })
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests;
