//! Reads tar records: headers, GNU long names, PAX records, the four sparse forms.
//!
//! Main types: [`TarReader`] and [`Entry`]. Header fields are parsed by the `tar` crate. Its own loop
//! over entries is not used: it splits PAX records at newlines, which breaks attributes with binary
//! values (`security.capability`), knows no PAX sparse files and reads extension headers of any size
//! into memory. Used by `convert` for layers and by `source` for archives themselves.

use std::io::{self, Read};

use ::tar::{EntryType, Header};

use super::sparse::{self, MapReader, Piece};
use super::{EntryProblem, LayerError, printable};
use crate::limits;
use crate::tree::{Device, Xattrs};

mod pax;
use pax::Pax;

const RECORD_SIZE: usize = 512;
const RECORD_BYTES: u64 = 512;

/// A stream that can leave bytes out: by reading them, or faster where it is a file.
pub(crate) trait Skip: Read {
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Regular,
    Directory,
    Symlink,
    HardLink,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// One entry with all its records taken together.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// As it stands in the archive: not yet checked.
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    pub(crate) device: Device,
    /// Size of the file with its holes.
    pub(crate) size: u64,
    /// Where a sparse file has data.
    pub(crate) pieces: Option<Vec<Piece>>,
    pub(crate) xattrs: Xattrs,
    /// Offset in the stream at which the data starts.
    pub(crate) data_offset: u64,
}

pub(crate) struct TarReader<R> {
    inner: R,
    position: u64,
    /// Bytes of the current entry still to be read, and what pads them to a whole record.
    data_left: u64,
    padding: u64,
}

/// Records in front of an entry that belong to it.
#[derive(Default)]
struct Prelude {
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl<R: Skip> TarReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            position: 0,
            data_left: 0,
            padding: 0,
        }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry, or `None` at the end of the archive. Unread data of the last one is left out.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut prelude = Prelude::default();
        let mut preludes = 0;
        loop {
            self.skip(self.data_left + self.padding)?;
            (self.data_left, self.padding) = (0, 0);
            let Some(record) = self.header_record()? else {
                return match preludes {
                    0 => Ok(None),
                    _ => Err(self.broken("it ends between an entry's extra records and the entry")),
                };
            };
            let header = Header::from_byte_slice(&record);
            self.check_sum(header)?;
            let size = header
                .entry_size()
                .map_err(|error| self.broken(&error.to_string()))?;
            if !self.extension(header, size, &mut prelude)? {
                return self.entry(header, size, prelude).map(Some);
            }
            preludes += 1;
            if preludes > limits::INDEX_DEPTH {
                return Err(self.broken("too many extra records in front of one entry"));
            }
        }
    }

    /// A header record; `None` at a record of zeros or at the end of the stream, which some writers
    /// leave without one: digests tell whether something is missing.
    fn header_record(&mut self) -> Result<Option<[u8; RECORD_SIZE]>, LayerError> {
        let mut record = [0; RECORD_SIZE];
        let mut filled = 0;
        while filled < RECORD_SIZE {
            match self.inner.read(&mut record[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.broken("it ends within a header")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::Read(error)),
            }
        }
        self.position += RECORD_BYTES;
        Ok(record.iter().any(|byte| *byte != 0).then_some(record))
    }

    fn check_sum(&self, header: &Header) -> Result<(), LayerError> {
        let bytes = header.as_bytes();
        let spaces = 8 * u32::from(b' ');
        let outside = bytes[..148].iter().chain(&bytes[156..]);
        let sum = outside.fold(spaces, |sum, byte| sum + u32::from(*byte));
        match header.cksum() {
            Ok(expected) if expected == sum => Ok(()),
            _ => Err(self.broken("a header's checksum differs")),
        }
    }

    /// Takes a record that belongs to the entry behind it; false if this is the entry.
    fn extension(
        &mut self,
        header: &Header,
        size: u64,
        prelude: &mut Prelude,
    ) -> Result<bool, LayerError> {
        let (slot, limit) = match header.entry_type() {
            EntryType::GNULongName => (&mut prelude.long_path, limits::PATH_BYTES as u64),
            EntryType::GNULongLink => (&mut prelude.long_link, limits::PATH_BYTES as u64),
            EntryType::XHeader => {
                let records = self.extension_data(size, limits::PAX_BYTES)?;
                let records = Pax::parse(&records).map_err(|what| self.broken(what))?;
                prelude.pax = Some(records);
                return Ok(true);
            }
            // Records for all entries to come: git writes its commit there, nothing that matters.
            EntryType::XGlobalHeader => {
                self.data_left = size;
                self.padding = padding(size);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let mut name = self.extension_data(size, limit + 1)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        *slot = Some(name);
        Ok(true)
    }

    fn extension_data(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, LayerError> {
        if size > limit {
            return Err(self.broken(&format!(
                "an extra record of {size} bytes, more than {limit}"
            )));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        self.read_exact(&mut data)?;
        self.padding = padding(size);
        Ok(data)
    }

    fn entry(&mut self, header: &Header, size: u64, prelude: Prelude) -> Result<Entry, LayerError> {
        let pax = prelude.pax.unwrap_or_default();
        let path = pax.sparse.name.or(pax.path).or(prelude.long_path);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let refuse = |problem| LayerError::Entry {
            path: printable(&path),
            problem,
        };
        let range = |what| refuse(EntryProblem::Range(what));
        let kind = kind(header.entry_type(), &path).map_err(refuse)?;
        let stored = match (kind, pax.size.unwrap_or(size)) {
            (EntryKind::Regular, size) => size,
            // Some writers repeat the target's size here; GNU tar and Go's reader both ignore it.
            (EntryKind::HardLink, _) => 0,
            // Readers differ on whether data follows, so that no reading of it is safe.
            (_, size) if size > 0 => return Err(range("the size of an entry that has no data")),
            _ => 0,
        };
        let old = header.as_old();
        let id = |from_pax: Option<u64>, from_header: Option<u64>, what| {
            let id = from_pax
                .or(from_header)
                .and_then(|id| u32::try_from(id).ok());
            // The kernel takes the highest id for "no id at all".
            id.filter(|id| *id != u32::MAX).ok_or_else(|| range(what))
        };
        let (uid, gid) = (
            id(pax.uid, number(&old.uid, header.uid()), "the uid")?,
            id(pax.gid, number(&old.gid, header.gid()), "the gid")?,
        );
        let (seconds, nanoseconds) = match pax.mtime {
            Some(mtime) => mtime,
            None => (header_mtime(header).ok_or_else(|| range("the mtime"))?, 0),
        };
        let mode = header.mode().map_err(|_ignored| range("the mode"))? & 0o7777;
        let link = pax.linkpath.or(prelude.long_link);
        let link = link.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let device = Device {
            major: header.device_major().ok().flatten().unwrap_or(0),
            minor: header.device_minor().ok().flatten().unwrap_or(0),
        };
        let (size, pieces) = if header.entry_type() == EntryType::GNUSparse {
            self.old_sparse(header, stored, &path)?
        } else {
            self.begin_data(stored);
            if kind == EntryKind::Regular {
                let logical = pax.sparse.size.unwrap_or(stored);
                (
                    logical,
                    self.pax_sparse(pax.sparse.pieces, pax.sparse.in_data, logical, &path)?,
                )
            } else {
                (0, None)
            }
        };
        Ok(Entry {
            kind,
            link: link.unwrap_or_default(),
            mode: u16::try_from(mode).unwrap_or(0),
            uid,
            gid,
            seconds,
            nanoseconds,
            device,
            size,
            pieces,
            xattrs: pax.xattrs,
            data_offset: self.position,
            path,
        })
    }

    fn begin_data(&mut self, stored: u64) {
        self.data_left = stored;
        self.padding = padding(stored);
    }

    /// GNU's old form: four pieces in the header, twenty-one in each record behind it.
    fn old_sparse(
        &mut self,
        header: &Header,
        stored: u64,
        path: &[u8],
    ) -> Result<(u64, Option<Vec<Piece>>), LayerError> {
        let refuse = |what| LayerError::Entry {
            path: printable(path),
            problem: EntryProblem::Sparse(what),
        };
        let bad_number = |_error| refuse("not a number");
        let gnu = header.as_gnu().ok_or_else(|| refuse("not a GNU header"))?;
        let size = gnu.real_size().map_err(bad_number)?;
        let mut pieces = Vec::new();
        let mut add = |piece: &::tar::GnuSparseHeader| {
            if !piece.is_empty() {
                let offset = piece.offset().map_err(bad_number)?;
                let length = piece.length().map_err(bad_number)?;
                pieces.push(Piece { offset, length });
            }
            if pieces.len() > limits::SPARSE_PIECES {
                return Err(refuse("too many pieces"));
            }
            Ok(())
        };
        gnu.sparse.iter().try_for_each(&mut add)?;
        let mut more = gnu.is_extended();
        while more {
            let mut record = ::tar::GnuExtSparseHeader::new();
            self.read_exact(record.as_mut_bytes())?;
            record.sparse.iter().try_for_each(&mut add)?;
            more = record.is_extended();
        }
        self.begin_data(stored);
        let pieces = sparse::checked(pieces, size, stored);
        let pieces = pieces.map_err(|problem| LayerError::Entry {
            path: printable(path),
            problem,
        })?;
        Ok((size, Some(pieces)))
    }

    /// The pieces of a PAX sparse file; `None` for a file that is not sparse.
    fn pax_sparse(
        &mut self,
        listed: Option<Vec<u64>>,
        in_data: bool,
        size: u64,
        path: &[u8],
    ) -> Result<Option<Vec<Piece>>, LayerError> {
        let refuse = |problem| LayerError::Entry {
            path: printable(path),
            problem,
        };
        let pieces = if in_data {
            let mut map = MapReader::default();
            let mut block = [0; RECORD_SIZE];
            let mut whole = false;
            while !whole {
                let left = self.data_left.checked_sub(RECORD_BYTES);
                let too_short = EntryProblem::Sparse("the map is longer than the data");
                self.data_left = left.ok_or_else(|| refuse(too_short))?;
                self.read_exact(&mut block)?;
                whole = map.take(&block).map_err(refuse)?;
            }
            map.pieces()
        } else {
            let Some(numbers) = listed else {
                return Ok(None);
            };
            sparse::pair_up(&numbers)
        };
        let pieces = pieces.and_then(|pieces| sparse::checked(pieces, size, self.data_left));
        pieces.map(Some).map_err(refuse)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), LayerError> {
        self.inner
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.broken("it ends within an entry"),
                _ => LayerError::Read(error),
            })?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), LayerError> {
        self.inner.skip(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.broken("it ends within an entry"),
            _ => LayerError::Read(error),
        })?;
        self.position = self.position.saturating_add(bytes);
        Ok(())
    }

    fn broken(&self, problem: &str) -> LayerError {
        LayerError::Tar {
            offset: self.position,
            problem: problem.to_owned(),
        }
    }
}

/// The current entry's data.
impl<R: Skip> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.data_left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.data_left -= read as u64;
        self.position += read as u64;
        Ok(read)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % RECORD_BYTES
}

fn kind(entry_type: EntryType, path: &[u8]) -> Result<EntryKind, EntryProblem> {
    Ok(match entry_type {
        // Before POSIX had types, a slash at the end of the name said "directory".
        EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::Regular,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Link => EntryKind::HardLink,
        EntryType::Char => EntryKind::CharDevice,
        EntryType::Block => EntryKind::BlockDevice,
        EntryType::Fifo => EntryKind::Fifo,
        other => return Err(EntryProblem::Kind(char::from(other.as_byte()))),
    })
}

/// A number of a header. An empty field is 0: there are writers that leave fields empty, and Go's reader takes them so.
fn number(field: &[u8], parsed: io::Result<u64>) -> Option<u64> {
    let empty = field.iter().all(|byte| matches!(byte, 0 | b' '));
    if empty { Some(0) } else { parsed.ok() }
}

/// The header's time. GNU tar writes times before 1970 in base 256, where the `tar` crate, whose
/// times are unsigned, does not follow.
fn header_mtime(header: &Header) -> Option<i64> {
    let field = &header.as_old().mtime;
    if field[0] == 0xff {
        let low = field.last_chunk::<8>()?;
        return Some(i64::from_be_bytes(*low));
    }
    number(field, header.mtime()).and_then(|seconds| i64::try_from(seconds).ok())
}
