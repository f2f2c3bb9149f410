//! The root of the guest: an uncompressed `newc` archive that the kernel unpacks into its first file system.
//!
//! [`write_guest_image`] is the entry: the agent as `/init`, `/dev/console`, and the folders that the agent
//! mounts on. The format itself is in [`cpio`], which the test host uses for its own first root as well.
//! The same agent gives the same bytes, so that the image can be kept and compared by content.

pub mod cpio;
pub mod scratch;
pub mod tool;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use cpio::{Archive, Kind};

/// Where the agent mounts: the kernel gives it an empty root, and it cannot make folders before it runs.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("open agent {path}: build it first, for this image holds nothing else")]
    OpenAgent { path: PathBuf, source: io::Error },
    #[error("agent {path} is no 64-bit ELF program that needs no loader: build it with crt-static")]
    NotStatic { path: PathBuf },
    #[error("write guest image")]
    Write(#[from] cpio::CpioError),
}

/// Writes the guest image that holds `agent`, and gives back the writer.
pub fn write_guest_image<W: Write>(agent: &Path, out: W) -> Result<W, ImageError> {
    let open = |source| ImageError::OpenAgent {
        path: agent.to_owned(),
        source,
    };
    let mut file = File::open(agent).map_err(open)?;
    if !elf_is_static(&mut file).map_err(open)? {
        return Err(ImageError::NotStatic {
            path: agent.to_owned(),
        });
    }
    let size = file.metadata().map_err(open)?.len();

    let mut archive = Archive::new(out);
    for directory in MOUNT_POINTS {
        let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
        archive.directory(directory, mode)?;
    }
    // The kernel opens it for PID 1's stdin, stdout and stderr before anything is mounted.
    archive.node(
        "dev/console",
        0o600,
        Kind::CharacterDevice { major: 5, minor: 1 },
    )?;
    archive.file("init", 0o755, size, &mut file)?;
    Ok(archive.finish()?)
}

/// Whether a file is a 64-bit ELF program without PT_INTERP: there is no loader in the guest.
/// Leaves the file at its start.
fn elf_is_static(file: &mut File) -> io::Result<bool> {
    const PT_INTERP: u32 = 3;
    const HEADER: usize = 64;
    const PROGRAM_HEADER: usize = 56;

    let mut head = Vec::with_capacity(HEADER);
    Read::by_ref(file)
        .take(HEADER as u64)
        .read_to_end(&mut head)?;
    file.rewind()?;
    // ELF-64 object file format, figure 2: e_phoff at 32, e_phentsize at 54, e_phnum at 56.
    let Ok(head) = <[u8; HEADER]>::try_from(head) else {
        return Ok(false);
    };
    if head[..5] != *b"\x7fELF\x02" || u16::from_le_bytes([head[54], head[55]]) != 56 {
        return Ok(false);
    }
    let offset = u64::from_le_bytes(head[32..40].try_into().expect("eight bytes"));
    let count = usize::from(u16::from_le_bytes([head[56], head[57]]));
    file.seek(io::SeekFrom::Start(offset))?;
    let mut table = Vec::new();
    let wanted = count * PROGRAM_HEADER;
    Read::by_ref(file)
        .take(wanted as u64)
        .read_to_end(&mut table)?;
    file.rewind()?;
    let (headers, _) = table.as_chunks::<PROGRAM_HEADER>();
    let has_loader = headers
        .iter()
        .any(|h| u32::from_le_bytes([h[0], h[1], h[2], h[3]]) == PT_INTERP);
    Ok(table.len() == wanted && !has_loader)
}

#[cfg(test)]
mod tests;
