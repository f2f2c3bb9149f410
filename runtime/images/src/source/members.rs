//! The files of an archive by name, whether it is a folder or a tar.
//!
//! Main type: [`Members`]. A tar is indexed once, by its headers alone; members are then read where
//! they lie. A packed tar is unpacked into a file first. Used by `layout` and `docker`, and by the store for layers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::SourceError;
use crate::layer::{self, EntryKind, Packing, TarReader, printable};
use crate::limits;

#[derive(Debug)]
pub(crate) enum Members {
    Folder(PathBuf),
    Tar {
        path: PathBuf,
        file: File,
        index: HashMap<String, Member>,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Another member's name: old `docker save` links equal layers to each other.
    Link(String),
}

/// A member's bytes.
#[derive(Debug)]
pub(crate) struct MemberReader<'a> {
    file: MemberFile<'a>,
    position: u64,
    left: u64,
}

#[derive(Debug)]
enum MemberFile<'a> {
    Own(File),
    Shared(&'a File),
}

/// Most links followed for one member.
const LINK_HOPS: usize = 4;

impl Members {
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, SourceError> {
        let mut file = open(path)?;
        let metadata = file.metadata().map_err(|source| read_error(path, source))?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if !metadata.is_file() {
            return Err(SourceError::Kind(path.to_owned()));
        }
        let mut length = metadata.len();
        let mut magic = [0; 4];
        let read = file
            .read_at(&mut magic, 0)
            .map_err(|source| read_error(path, source))?;
        let packing = Packing::of(&magic[..read]);
        if packing != Packing::Plain {
            let unpacked = layer::unpack_file(&file, &scratch.join("archive.tar"));
            (file, length) = unpacked.map_err(|source| SourceError::Packed {
                path: path.to_owned(),
                packing,
                source,
            })?;
        }
        let index = index(path, &file, length)?;
        Ok(Self::Tar {
            path: path.to_owned(),
            file,
            index,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(path) => path.join(name).is_file(),
            Self::Tar { index, .. } => index.contains_key(name),
        }
    }

    /// Opens a member; its size is known before a byte is read.
    pub(crate) fn reader(&self, name: &str) -> Result<MemberReader<'_>, SourceError> {
        let missing = || SourceError::Missing {
            member: name.to_owned(),
        };
        match self {
            Self::Folder(path) => {
                // Names come from the archive's documents.
                if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Err(missing());
                }
                let path = path.join(name);
                let file = match open(&path) {
                    Err(SourceError::Read { source, .. })
                        if source.kind() == io::ErrorKind::NotFound =>
                    {
                        return Err(missing());
                    }
                    other => other?,
                };
                let metadata = file
                    .metadata()
                    .map_err(|source| read_error(&path, source))?;
                if !metadata.is_file() {
                    return Err(SourceError::Kind(path));
                }
                Ok(MemberReader {
                    file: MemberFile::Own(file),
                    position: 0,
                    left: metadata.len(),
                })
            }
            Self::Tar { file, index, .. } => {
                let (offset, size) = find(index, name)?;
                let file = MemberFile::Shared(file);
                Ok(MemberReader {
                    file,
                    position: offset,
                    left: size,
                })
            }
        }
    }

    /// Reads a small member whole.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let mut reader = self.reader(name)?;
        let size = reader.left;
        if size > limit {
            return Err(SourceError::TooLarge {
                what: name.to_owned(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        let result = reader.read_to_end(&mut bytes);
        result.map_err(|source| SourceError::Read {
            path: self.describe(name),
            source,
        })?;
        Ok(bytes)
    }

    fn describe(&self, name: &str) -> String {
        match self {
            Self::Folder(path) => path.join(name).display().to_string(),
            Self::Tar { path, .. } => format!("{}: {name}", path.display()),
        }
    }
}

impl MemberReader<'_> {
    pub(crate) fn size(&self) -> u64 {
        self.left
    }
}

impl Read for MemberReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let file = match &self.file {
            MemberFile::Own(file) => file,
            MemberFile::Shared(file) => file,
        };
        let read = file.read_at(&mut buffer[..most], self.position)?;
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Where a member's data lies, behind any links.
fn find(index: &HashMap<String, Member>, name: &str) -> Result<(u64, u64), SourceError> {
    let mut last = name;
    for _ in 0..=LINK_HOPS {
        match index.get(last) {
            Some(Member::File { offset, size }) => return Ok((*offset, *size)),
            Some(Member::Link(target)) => last = target,
            None => {
                return Err(SourceError::Missing {
                    member: last.to_owned(),
                });
            }
        }
    }
    let problem = "is a link that leads to no file";
    Err(SourceError::Member {
        member: name.to_owned(),
        problem,
    })
}

/// Opens without waiting for a writer of a named pipe.
fn open(path: &Path) -> Result<File, SourceError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty());
    fd.map(File::from)
        .map_err(|errno| read_error(path, errno.into()))
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read {
        path: path.display().to_string(),
        source,
    }
}

fn index(path: &Path, file: &File, length: u64) -> Result<HashMap<String, Member>, SourceError> {
    let tar_error = |source| SourceError::Tar {
        path: path.to_owned(),
        source,
    };
    let mut tar = TarReader::new(Seeking { file, length });
    let mut index = HashMap::new();
    let mut count = 0;
    while let Some(entry) = tar.next().map_err(tar_error)? {
        count += 1;
        if count > limits::ARCHIVE_MEMBERS {
            let limit = limits::ARCHIVE_MEMBERS;
            return Err(SourceError::TooMany {
                what: "members of the archive",
                limit,
            });
        }
        let name = clean("", &printable(&entry.path));
        let member = match entry.kind {
            EntryKind::Regular if entry.pieces.is_none() => Member::File {
                offset: entry.data_offset,
                size: entry.size,
            },
            EntryKind::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                Member::Link(clean(folder, &printable(&entry.link)))
            }
            EntryKind::HardLink => Member::Link(clean("", &printable(&entry.link))),
            EntryKind::Directory => continue,
            _ => {
                let problem = "is neither a plain file nor a link";
                return Err(SourceError::Member {
                    member: name,
                    problem,
                });
            }
        };
        if index.insert(name.clone(), member).is_some() {
            return Err(SourceError::Member {
                member: name,
                problem: "is there twice",
            });
        }
    }
    Ok(index)
}

/// A name relative to a folder of the archive, without `.`, `..` and double slashes.
fn clean(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Leaves data out by seeking.
struct Seeking<'a> {
    file: &'a File,
    length: u64,
}

impl Read for Seeking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl crate::layer::Skip for Seeking<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
        let position = self.file.seek(SeekFrom::Current(bytes))?;
        if position > self.length {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }
}
