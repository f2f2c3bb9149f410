//! Every size and count that this crate accepts from an archive, in one place.
//!
//! The bytes of an image come from strangers. Each limit is checked before anything is allocated
//! from the number it guards, and each is far above what images in use need.

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Largest `index.json`, image index, image manifest or docker `manifest.json`. The distribution
/// spec asks registries to take at least this much.
pub const MANIFEST_BYTES: u64 = 4 * MIB;
/// Largest image configuration.
pub const CONFIG_BYTES: u64 = 4 * MIB;
/// How deep an index may point to another index.
pub const INDEX_DEPTH: usize = 4;
/// Most manifests of one index. Images in use have some dozens.
pub const INDEX_ENTRIES: usize = 1024;
/// Most layers of one image. Docker stops at 127.
pub const LAYERS: usize = 256;
/// Most members of an image archive itself (blobs and folders, not the files of layers).
pub const ARCHIVE_MEMBERS: usize = 64 * 1024;

/// Most bytes that a packed image archive may unpack to: a few layers of the largest kind.
pub const ARCHIVE_BYTES: u64 = 256 * GIB;

/// Most entries of one layer's tar stream.
pub const LAYER_ENTRIES: u64 = 4_000_000;
/// Most bytes that one layer may unpack to, holes of sparse files included.
pub const LAYER_BYTES: u64 = 128 * GIB;
/// Largest single file, holes included.
pub const FILE_BYTES: u64 = 64 * GIB;
/// A layer that fills the disk with more than this many times its packed size is a bomb …
pub const BOMB_RATIO: u64 = 250;
/// … once it has filled this much. Blocks of zeros take no disk space and do not count.
pub const BOMB_FLOOR_BYTES: u64 = 256 * MIB;
/// Names, link targets and extended attributes of one layer, which are all held in memory.
pub const LAYER_METADATA_BYTES: u64 = 512 * MIB;

/// Longest path of an entry: Linux's `PATH_MAX`.
pub const PATH_BYTES: usize = 4096;
/// Longest name in a path: Linux's `NAME_MAX`, and EROFS's.
pub const NAME_BYTES: usize = 255;
/// Longest symlink target: `PATH_MAX` less the NUL that the kernel puts behind it.
pub const SYMLINK_BYTES: usize = 4095;
/// Most folders in one path.
pub const PATH_DEPTH: usize = 1024;
/// Most symlinks followed for one path, as `MAXSYMLINKS` in the kernel.
pub const SYMLINK_HOPS: usize = 40;
/// All PAX records of one tar entry together.
pub const PAX_BYTES: u64 = MIB;
/// Most pieces of one sparse file.
pub const SPARSE_PIECES: usize = 256 * 1024;

/// Longest attribute name with its prefix: Linux's `XATTR_NAME_MAX`.
pub const XATTR_NAME_BYTES: usize = 255;
/// Longest attribute value: EROFS counts it in 16 bits (Linux's `XATTR_SIZE_MAX` is one more).
pub const XATTR_VALUE_BYTES: usize = 65_535;
/// All attributes of one file: EROFS counts them in 16 bits of 4-byte words.
pub const XATTR_TOTAL_BYTES: usize = 128 << 10;

/// Memory that a zstd frame may ask of its reader, as a power of two (128 MiB, zstd's own default).
pub const ZSTD_WINDOW_LOG: u32 = 27;
/// Tries to pick a fresh name before giving up.
pub const NAME_TRIES: u32 = 64;

/// Longest wait for another process that is changing the store's records.
pub const LOCK_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);
