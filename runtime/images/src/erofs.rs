//! EROFS as we write it: uncompressed, 4 KiB blocks, extended inodes, every file's bytes on blocks
//! of their own.
//!
//! No tail of a regular file is packed into metadata, so that a layer's blob can be mapped into a
//! guest (DAX takes flat-plain and chunk-based files only, `fs/erofs/inode.c`) and so that a merged
//! image can point into it. Format: the kernel's `fs/erofs/erofs_fs.h` (6.12). Rooms: `format` (the
//! fixed structures), `dir`, `xattr`, `plan` (where each inode goes), `write`, `read`. Below: `tree`.

pub(crate) mod dir;
pub(crate) mod format;
pub(crate) mod plan;
pub(crate) mod read;
pub(crate) mod write;
pub(crate) mod xattr;

pub(crate) use format::BLOCK_BYTES;

/// A tree could not become EROFS, or bytes are not the EROFS that we write.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// Writing the blob.
    #[error("write erofs metadata")]
    Write(#[source] std::io::Error),
    /// Reading the blob.
    #[error("read erofs {what} at byte {offset}")]
    Read {
        /// What was to be read.
        what: &'static str,
        /// Where in the blob.
        offset: u64,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A number does not fit its field.
    #[error("{what} {value} does not fit into an erofs image (at most {limit})")]
    TooLarge {
        /// What has the number.
        what: &'static str,
        /// The number.
        value: u64,
        /// The most that fits.
        limit: u64,
    },
    /// The bytes break a rule of the format.
    #[error("damaged erofs: {what} (inode {nid}); remove the image and import it again")]
    Damaged {
        /// The broken rule.
        what: &'static str,
        /// Where.
        nid: u64,
    },
}
