//! One layer: from a packed tar stream to an EROFS blob, in one pass.
//!
//! [`convert`] is the door. Rooms: `unpack` (gzip, zstd or plain, checked against the declared type),
//! `tar` (records and PAX), `sparse` (GNU's four ways to say where a file's holes are), `build`
//! (paths, links, whiteouts → tree), `blob` (file data → blocks). Below: `tree`, `erofs`.

pub(crate) mod blob;
pub(crate) mod build;
mod check;
mod convert;
mod sparse;
mod tar;
pub(crate) mod unpack;

pub use check::{CheckError, check_layer};
pub(crate) use convert::{LayerStream, convert};
pub(crate) use tar::{EntryKind, Skip, TarReader};
pub use unpack::Packing;
pub(crate) use unpack::unpack_file;

use crate::digest::Digest;
use crate::erofs::ErofsError;
use crate::limits;

/// How much one layer may ask for; tests and the fuzz target have smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct LayerLimits {
    /// Entries of the tar stream, and nodes of the tree.
    pub entries: u64,
    /// Bytes that the stream unpacks to, and the sizes of all its files together.
    pub bytes: u64,
    /// Size of one file.
    pub file_bytes: u64,
    /// Names, targets and attributes together.
    pub metadata_bytes: u64,
    /// Bytes on disk for each packed byte …
    pub bomb_ratio: u64,
    /// … once this many are on disk.
    pub bomb_floor_bytes: u64,
}

impl Default for LayerLimits {
    fn default() -> Self {
        Self {
            entries: limits::LAYER_ENTRIES,
            bytes: limits::LAYER_BYTES,
            file_bytes: limits::FILE_BYTES,
            metadata_bytes: limits::LAYER_METADATA_BYTES,
            bomb_ratio: limits::BOMB_RATIO,
            bomb_floor_bytes: limits::BOMB_FLOOR_BYTES,
        }
    }
}

/// A layer was refused or could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive's own bytes could not be read.
    #[error("read the packed layer")]
    Read(#[source] std::io::Error),
    /// The stream broke off or its compression is damaged.
    #[error("unpack the {packing} stream of the layer, which is truncated or damaged")]
    Unpack {
        /// How it is packed.
        packing: Packing,
        /// What the unpacker says.
        #[source]
        source: std::io::Error,
    },
    /// The media type says one thing, the first bytes another.
    #[error("the layer is labelled {labelled} but its bytes are {found}")]
    Mislabelled {
        /// What the media type says.
        labelled: Packing,
        /// What the bytes look like.
        found: Packing,
    },
    /// The stream is longer or shorter than its descriptor says.
    #[error("the packed layer has {got} bytes, but its descriptor says {expected}")]
    Size {
        /// The descriptor's word.
        expected: u64,
        /// What was there; at most one more than `expected`.
        got: u64,
    },
    /// The bytes are not those that the manifest or configuration names.
    #[error("the {form} layer has digest {got}, but {expected} was promised")]
    Digest {
        /// Packed or unpacked.
        form: &'static str,
        /// What the manifest or configuration says.
        expected: Digest,
        /// What the bytes have.
        got: Digest,
    },
    /// A tar record that is none.
    #[error("the layer is no good tar stream at byte {offset}: {problem}")]
    Tar {
        /// Where in the unpacked stream.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// One entry is refused.
    #[error("entry `{path}`: {problem}")]
    Entry {
        /// Its path, escaped for a terminal.
        path: String,
        /// Why.
        problem: EntryProblem,
    },
    /// The layer as a whole asks for too much.
    #[error("the layer has more than {limit} {what}; it is refused as a possible bomb")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit in `limits.rs`.
        limit: u64,
    },
    /// Little in, very much out.
    #[error(
        "the layer fills {stored} bytes of disk from {packed} packed bytes; it is refused as a bomb"
    )]
    Bomb {
        /// Bytes on disk.
        stored: u64,
        /// Packed bytes until then.
        packed: u64,
    },
    /// The blob could not be written.
    #[error("write the layer's blob")]
    Write(#[source] std::io::Error),
    /// The tree does not fit EROFS.
    #[error("write the layer's metadata")]
    Erofs(#[source] ErofsError),
}

/// Why an entry of a layer is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// A `..` in a path or hard link target.
    #[error("the path climbs with `..`")]
    Climbs,
    /// A hard link target with a leading slash.
    #[error("a hard link to the absolute path `{0}`")]
    AbsoluteLink(String),
    /// A hard link to what the layer does not have (yet).
    #[error("a hard link to `{0}`, which no earlier entry of the layer made")]
    MissingTarget(String),
    /// A hard link to a directory.
    #[error("a hard link to the directory `{0}`")]
    DirectoryLink(String),
    /// Two entries for one path that are not both directories.
    #[error("an earlier entry of the layer has the same path")]
    Duplicate,
    /// A part of the path is a file.
    #[error("`{0}` on the way is no directory")]
    NotADirectory(String),
    /// Symlinks that lead to each other.
    #[error("too many symlinks on the way")]
    SymlinkLoop,
    /// Longer than Linux takes.
    #[error("{what} is longer than {limit}")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Nothing where a name or target must be, or a NUL in it.
    #[error("{0} is empty or has a NUL in it")]
    BadText(&'static str),
    /// A `.wh.` name that is no whiteout.
    #[error("names that start with `.wh.` are whiteouts, and this one hides nothing")]
    BadWhiteout,
    /// A size, time or id out of its range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// The root as something else than a directory.
    #[error("the root of the layer must be a directory")]
    Root,
    /// A kind of entry that no file system tree has.
    #[error("entries of type {0:?} are not supported")]
    Kind(char),
    /// A sparse file whose map is wrong.
    #[error("a bad map of a sparse file: {0}")]
    Sparse(&'static str),
}

/// Bytes of an archive as text that is safe on a terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().collect()
}

#[cfg(test)]
mod tests;
