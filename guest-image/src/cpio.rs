//! A writer of `newc` cpio archives, as Linux unpacks them into its first root
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! [`Archive`] takes entries one after the other. Everything is owned by root and dated 1970, and inode numbers count
//! up from one, so the same calls give the same bytes. Hard links are not written: nothing of ours has any.

use std::io::{self, Read, Write};

/// Every entry's header, its name and its content end on a multiple of this.
const ALIGNMENT: usize = 4;
/// Magic, thirteen fields of eight hexadecimal digits.
const HEADER_SIZE: usize = 110;
const TRAILER: &str = "TRAILER!!!";

const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

#[derive(Debug, thiserror::Error)]
pub enum CpioError {
    #[error("name {name:?} is empty, absolute, holds a NUL or climbs out of the root")]
    Name { name: String },
    #[error("{name} has {size} bytes: the format ends at 4 GiB")]
    TooLarge { name: String, size: u64 },
    #[error("{name} was announced with {announced} bytes, but has {read}")]
    SizeChanged {
        name: String,
        announced: u64,
        read: u64,
    },
    #[error("write entry {name}")]
    Write { name: String, source: io::Error },
}

/// What a node is that has no content.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    CharacterDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

/// An archive that is being written. Names are relative to the root ("dev/console"); a folder comes before what is in
/// it, for the kernel makes no parents. An archive that is dropped without [`Archive::finish`] has no end mark.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    inode: u32,
}

struct Header<'a> {
    name: &'a str,
    mode: u32,
    links: u32,
    size: u32,
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Archive<W> {
        Archive { out, inode: 0 }
    }

    pub fn directory(&mut self, name: &str, mode: u32) -> Result<(), CpioError> {
        let name = check_name(name)?;
        let mode = S_IFDIR | mode & 0o7777;
        self.header(&Header {
            name,
            mode,
            links: 2,
            size: 0,
            device: (0, 0),
        })
    }

    /// A regular file of exactly `size` bytes from `content`.
    pub fn file(
        &mut self,
        name: &str,
        mode: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), CpioError> {
        let name = check_name(name)?;
        let short = size_of_entry(name, size)?;
        let mode = S_IFREG | mode & 0o7777;
        self.header(&Header {
            name,
            mode,
            links: 1,
            size: short,
            device: (0, 0),
        })?;
        // One byte more than announced is asked for, so that a file that grew is seen.
        let mut limited = content.take(size + 1);
        let read = io::copy(&mut limited, &mut self.out).map_err(|source| CpioError::Write {
            name: name.to_owned(),
            source,
        })?;
        if read != size {
            return Err(CpioError::SizeChanged {
                name: name.to_owned(),
                announced: size,
                read,
            });
        }
        self.pad(name, size)
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> Result<(), CpioError> {
        let name = check_name(name)?;
        let size = size_of_entry(name, target.len() as u64)?;
        self.header(&Header {
            name,
            mode: S_IFLNK | 0o777,
            links: 1,
            size,
            device: (0, 0),
        })?;
        self.out
            .write_all(target.as_bytes())
            .map_err(|source| CpioError::Write {
                name: name.to_owned(),
                source,
            })?;
        self.pad(name, u64::from(size))
    }

    pub fn node(&mut self, name: &str, mode: u32, kind: Kind) -> Result<(), CpioError> {
        let name = check_name(name)?;
        let (bits, device) = match kind {
            Kind::CharacterDevice { major, minor } => (S_IFCHR, (major, minor)),
            Kind::BlockDevice { major, minor } => (S_IFBLK, (major, minor)),
            Kind::Fifo => (S_IFIFO, (0, 0)),
        };
        let mode = bits | mode & 0o7777;
        self.header(&Header {
            name,
            mode,
            links: 1,
            size: 0,
            device,
        })
    }

    /// Writes the end mark, and gives back the writer.
    pub fn finish(mut self) -> Result<W, CpioError> {
        self.header(&Header {
            name: TRAILER,
            mode: 0,
            links: 1,
            size: 0,
            device: (0, 0),
        })?;
        self.out.flush().map_err(|source| CpioError::Write {
            name: TRAILER.to_owned(),
            source,
        })?;
        Ok(self.out)
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(), CpioError> {
        let Header {
            name,
            mode,
            links,
            size,
            device: (major, minor),
        } = header;
        // The end mark has inode zero, the others count up: two entries with one inode would be hard links.
        let inode = if *name == TRAILER {
            0
        } else {
            self.inode += 1;
            self.inode
        };
        let name_size = name.len() + 1;
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let mut bytes = format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}{:08x}{:08x}\
             {major:08x}{minor:08x}{name_size:08x}{:08x}{name}\0",
            0, 0, 0, 0, 0, 0
        )
        .into_bytes();
        debug_assert_eq!(bytes.len(), HEADER_SIZE + name_size);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        self.out
            .write_all(&bytes)
            .map_err(|source| CpioError::Write {
                name: (*name).to_owned(),
                source,
            })
    }

    fn pad(&mut self, name: &str, size: u64) -> Result<(), CpioError> {
        let over = usize::try_from(size % ALIGNMENT as u64).expect("below the alignment");
        let missing = if over == 0 { 0 } else { ALIGNMENT - over };
        self.out
            .write_all(&[0; ALIGNMENT][..missing])
            .map_err(|source| CpioError::Write {
                name: name.to_owned(),
                source,
            })
    }
}

/// Names are relative, and stay below the root.
fn check_name(name: &str) -> Result<&str, CpioError> {
    let bad = name.is_empty()
        || name == TRAILER
        || name.contains('\0')
        || name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if bad {
        Err(CpioError::Name {
            name: name.to_owned(),
        })
    } else {
        Ok(name)
    }
}

fn size_of_entry(name: &str, size: u64) -> Result<u32, CpioError> {
    // The field could hold 4 GiB - 1; the cause of the failure is the size itself, which the text names.
    u32::try_from(size).ok().ok_or_else(|| CpioError::TooLarge {
        name: name.to_owned(),
        size,
    })
}

#[cfg(test)]
mod tests;
