//! Every size and count that this crate accepts, in one place.

/// Most text of one line of the log, in bytes; containerd and CRI-O cut there too.
pub const TEXT_BYTES: usize = 16 * 1024;

/// What stands before the text: `2026-11-22T10:00:00.123456789Z stdout F `.
pub const HEAD_BYTES: usize = 30 + 1 + 6 + 1 + 1 + 1;

/// A whole line with its newline.
pub const LINE_BYTES: usize = HEAD_BYTES + TEXT_BYTES + 1;

/// Most bytes of a stream that become one write; an append of more is several. It is the largest
/// chunk of a stdio stream.
pub const PORTION_BYTES: usize = 64 * 1024;

/// Most that one write can be: a full unfinished line, then a portion of nothing but newlines. It is
/// also the most that a crash can leave behind the recorded length.
pub const WRITE_BYTES: usize = LINE_BYTES + PORTION_BYTES * (HEAD_BYTES + 1);

/// Most names that are looked at to find a renamed log. Kubelet keeps five in a folder.
pub const FOLDER_ENTRIES: usize = 4096;

/// Most text that a reader joins into one entry, in bytes.
pub const ENTRY_BYTES: usize = 1024 * 1024;
