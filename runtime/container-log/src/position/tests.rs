//! Records there and back, and everything that is no record.

use proptest::prelude::*;

use super::*;

fn record(words: [u64; 6]) -> Record {
    let [device, inode, born_ns, length, stdout, stderr] = words;
    Record {
        log: Identity {
            device,
            inode,
            born_ns,
        },
        length,
        offsets: Offsets {
            stdout: (stdout != UNKNOWN).then_some(stdout),
            stderr: (stderr != UNKNOWN).then_some(stderr),
        },
    }
}

proptest! {
    #[test]
    fn record_is_read_as_written(words: [u64; 6]) {
        let path = Path::new("folder/0.log");
        let bytes = record(words).encode(path);
        prop_assert_eq!(Record::decode(&bytes, path), Some(record(words)));
    }
}

#[test]
fn lost_offsets_stay_lost() {
    let path = Path::new("0.log");
    let lost = record([1, 2, 3, 4, UNKNOWN, 5]);
    assert_eq!(lost.offsets.get(Stream::Stdout), None);
    assert_eq!(Record::decode(&lost.encode(path), path), Some(lost));
    assert_eq!(lost.offsets.after(Stream::Stdout, 7), lost.offsets);
    let further = lost.offsets.after(Stream::Stderr, 7);
    assert_eq!(further.get(Stream::Stderr), Some(12));
}

#[test]
fn no_bit_may_change() {
    let path = Path::new("0.log");
    let bytes = record([1, 2, 3, 4, 5, 6]).encode(path);
    for bit in 0..RECORD_BYTES * 8 {
        let mut torn = bytes;
        torn[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Record::decode(&torn, path), None, "bit {bit}");
    }
}

#[test]
fn record_of_other_length_or_log_is_none() {
    let path = Path::new("0.log");
    let bytes = record([1, 2, 3, 4, 5, 6]).encode(path);
    for length in 0..RECORD_BYTES {
        assert_eq!(Record::decode(&bytes[..length], path), None, "{length}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(Record::decode(&longer, path), None);
    assert_eq!(Record::decode(&bytes, Path::new("1.log")), None);
}
