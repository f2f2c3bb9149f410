//! Takes any bytes for an image's layer: refused with a reason, or written as EROFS and read back as the same tree.

#![no_main]

use images::{CheckError, LayerLimits, check_layer};
use libfuzzer_sys::fuzz_target;

/// Small enough for memory, large enough for every branch.
const LIMITS: LayerLimits = LayerLimits {
    entries: 256,
    bytes: 1 << 20,
    file_bytes: 1 << 18,
    metadata_bytes: 1 << 16,
    bomb_ratio: 250,
    bomb_floor_bytes: 1 << 20,
};

const RECORD: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    match check_layer(&with_checksums(bytes), LIMITS) {
        Ok(()) | Err(CheckError::Refused(_)) => {}
        Err(bug) => panic!("{bug}: {bug:?}"),
    }
});

/// Makes each header's checksum right, which the fuzzer would hardly ever find by itself.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut position = 0;
    while let Some(record) = bytes.get_mut(position..position + RECORD) {
        if record.iter().all(|byte| *byte == 0) {
            break;
        }
        record[148..156].fill(b' ');
        let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
        record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&record[124..135]).ok();
        let size = size
            .and_then(|size| usize::from_str_radix(size.trim(), 8).ok())
            .unwrap_or(0);
        position = position.saturating_add(RECORD + size.next_multiple_of(RECORD));
        if position > bytes.len() {
            break;
        }
    }
    bytes
}
