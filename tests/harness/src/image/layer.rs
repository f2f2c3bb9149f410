//! One layer: tar entries in the order in which they are added, then compressed or not.

use std::io::{Cursor, Write};

use anyhow::{Context, Result};
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::archive::{Blob, digest};

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Who owns an entry, and when it was changed; root in 2001 if not said.
#[derive(Clone, Copy, Debug)]
struct Stat {
    uid: u64,
    gid: u64,
    mtime: u64,
}

/// Tar entries. Nothing is checked: an odd layer is what some tests want. [`Layer::owner`] and [`Layer::mtime`] are for the
/// entries after them, [`Layer::xattr`] for the next one only.
#[derive(Clone, Debug)]
pub struct Layer {
    compression: Compression,
    entries: Vec<Entry>,
    stat: Stat,
    xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    mode: u32,
    stat: Stat,
    xattrs: Vec<(String, Vec<u8>)>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    HardLink(String),
    Device {
        entry_type: EntryType,
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// A layer as a blob, and the digest of what it holds uncompressed.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) blob: Blob,
    pub(super) diff_id: String,
}

impl Layer {
    pub fn new(compression: Compression) -> Layer {
        let stat = Stat {
            uid: 0,
            gid: 0,
            mtime: 1_000_000_000,
        };
        Layer {
            compression,
            entries: Vec::new(),
            stat,
            xattrs: Vec::new(),
        }
    }

    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Layer {
        (self.stat.uid, self.stat.gid) = (uid, gid);
        self
    }

    #[must_use]
    pub fn mtime(mut self, seconds: u64) -> Layer {
        self.stat.mtime = seconds;
        self
    }

    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Layer {
        self.xattrs.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Layer {
        self.add(path, mode, Kind::Directory)
    }

    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Layer {
        self.add(path, mode, Kind::File(content.into()))
    }

    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Layer {
        self.add(path, 0o777, Kind::Symlink(target.to_owned()))
    }

    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Layer {
        self.add(path, 0o644, Kind::HardLink(target.to_owned()))
    }

    #[must_use]
    pub fn character_device(self, path: &str, mode: u32, major: u32, minor: u32) -> Layer {
        self.add(
            path,
            mode,
            Kind::Device {
                entry_type: EntryType::Char,
                major,
                minor,
            },
        )
    }

    #[must_use]
    pub fn block_device(self, path: &str, mode: u32, major: u32, minor: u32) -> Layer {
        self.add(
            path,
            mode,
            Kind::Device {
                entry_type: EntryType::Block,
                major,
                minor,
            },
        )
    }

    #[must_use]
    pub fn fifo(self, path: &str, mode: u32) -> Layer {
        self.add(path, mode, Kind::Fifo)
    }

    /// Takes away what lower layers have at `path`.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Layer {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let separator = if folder.is_empty() { "" } else { "/" };
        self.file(&format!("{folder}{separator}.wh.{name}"), 0o644, "")
    }

    /// Takes away everything that lower layers have in `folder`.
    #[must_use]
    pub fn opaque(self, folder: &str) -> Layer {
        self.file(&format!("{folder}/.wh..wh..opq"), 0o644, "")
    }

    fn add(mut self, path: &str, mode: u32, kind: Kind) -> Layer {
        let xattrs = std::mem::take(&mut self.xattrs);
        self.entries.push(Entry {
            path: path.to_owned(),
            mode,
            stat: self.stat,
            xattrs,
            kind,
        });
        self
    }

    pub(super) fn build(&self) -> Result<Built> {
        pack(self.tar()?, self.compression)
    }

    /// The uncompressed tar stream.
    pub fn tar(&self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for entry in &self.entries {
            entry
                .append(&mut builder)
                .with_context(|| format!("tar entry {}", entry.path))?;
        }
        Ok(builder.into_inner()?)
    }
}

impl Entry {
    fn append(&self, builder: &mut Builder<Vec<u8>>) -> Result<()> {
        // As GNU tar and every registry have them: PAX records before the entry (tar(5), SCHILY.xattr).
        let keys: Vec<String> = self
            .xattrs
            .iter()
            .map(|(name, _)| format!("SCHILY.xattr.{name}"))
            .collect();
        let values = self.xattrs.iter().map(|(_, value)| value.as_slice());
        if !keys.is_empty() {
            builder.append_pax_extensions(keys.iter().map(String::as_str).zip(values))?;
        }
        let mut header = Header::new_gnu();
        header.set_mode(self.mode);
        header.set_uid(self.stat.uid);
        header.set_gid(self.stat.gid);
        header.set_mtime(self.stat.mtime);
        header.set_size(0);
        let path = self.path.as_str();
        match &self.kind {
            Kind::Directory => {
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
            }
            Kind::File(content) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_slice())?;
            }
            Kind::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, path, target)?;
            }
            Kind::HardLink(target) => {
                header.set_entry_type(EntryType::Link);
                builder.append_link(&mut header, path, target)?;
            }
            Kind::Device {
                entry_type,
                major,
                minor,
            } => {
                header.set_entry_type(*entry_type);
                header.set_device_major(*major)?;
                header.set_device_minor(*minor)?;
                builder.append_data(&mut header, path, std::io::empty())?;
            }
            Kind::Fifo => {
                header.set_entry_type(EntryType::Fifo);
                builder.append_data(&mut header, path, std::io::empty())?;
            }
        }
        Ok(())
    }
}

/// Makes a blob of a tar stream.
pub(super) fn pack(tar: Vec<u8>, compression: Compression) -> Result<Built> {
    let diff_id = digest(&tar);
    let (suffix, bytes) = match compression {
        Compression::None => ("", tar),
        Compression::Gzip => ("+gzip", gzip(&tar)?),
        Compression::Zstd => ("+zstd", zstd::encode_all(Cursor::new(tar), ZSTD_LEVEL)?),
    };
    let blob = Blob::new(
        &format!("application/vnd.oci.image.layer.v1.tar{suffix}"),
        bytes,
    );
    Ok(Built { blob, diff_id })
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
