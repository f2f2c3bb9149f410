//! Byte ranges over pieces: every start and length against a flat copy.

use proptest::prelude::*;
use vm_memory::Bytes;

use super::*;
use crate::test_driver::memory;

/// Buffers over pieces of the given lengths, one page apart, and the bytes in them.
fn buffers(lengths: &[u32]) -> (Buffers, Vec<u8>) {
    let memory = memory();
    let mut buffers = Buffers::new(memory.clone(), lengths.len());
    let mut flat = Vec::new();
    for (index, length) in (0_u64..).zip(lengths) {
        let address = GuestAddress(0x10_0000 + index * 0x1000);
        let bytes: Vec<u8> = (0..*length)
            .map(|at| u8::try_from((u64::from(at) * 7 + index) % 251).expect("below 251"))
            .collect();
        memory.write_slice(&bytes, address).expect("in memory");
        buffers.add(address, *length).expect("in memory");
        flat.extend(bytes);
    }
    (buffers, flat)
}

proptest! {
    #[test]
    fn buffers_read_and_written_equal_flat_bytes(
        lengths in proptest::collection::vec(0_u32..40, 0..8),
        start in 0_usize..320,
        length in 0_usize..320,
    ) {
        let (mut buffers, flat) = buffers(&lengths);
        prop_assert_eq!(buffers.len(), flat.len());
        let mut data = vec![0; length];
        let copied = buffers.copy_out(start, &mut data);
        let Some(expected) = flat.get(start..start + length) else {
            prop_assert!(copied.is_err());
            prop_assert!(buffers.copy_in(start, &data).is_err());
            prop_assert!(buffers.window(start..start + length).is_err());
            return Ok(());
        };
        prop_assert!(copied.is_ok());
        prop_assert_eq!(&data, expected);
        let window = buffers.window(start..start + length).expect("in range");
        prop_assert_eq!(window.iter().map(|piece| piece.iov_len).sum::<usize>(), length);
        prop_assert!(window.iter().all(|piece| piece.iov_len > 0));
        data.iter_mut().for_each(|byte| *byte ^= 0xff);
        buffers.copy_in(start, &data).expect("in range");
        let mut all = vec![0; flat.len()];
        buffers.copy_out(0, &mut all).expect("in range");
        let mut changed = flat.clone();
        changed[start..start + length].copy_from_slice(&data);
        prop_assert_eq!(all, changed);
    }
}

#[test]
fn buffers_with_overflowing_range_refuse_it() {
    let (buffers, _flat) = buffers(&[4]);
    let expected = PastEnd {
        start: usize::MAX,
        end: usize::MAX,
        length: 4,
    };
    assert_eq!(buffers.copy_out(usize::MAX, &mut [0; 2]), Err(expected));
}

#[test]
fn buffers_of_many_pieces_come_in_windows_that_a_call_takes() {
    let (mut buffers, _flat) = buffers(&[1; 1000]);
    for index in 0..200 {
        buffers.add(GuestAddress(index), 1).expect("in memory");
    }
    assert_eq!(buffers.window(0..1200).expect("in range").len(), 1024);
    assert_eq!(buffers.window(1024..1200).expect("in range").len(), 176);
}

#[test]
fn buffers_shown_in_a_log_show_no_address() {
    let (buffers, _flat) = buffers(&[4, 5]);
    assert_eq!(format!("{buffers:?}"), "Buffers(9 bytes in 2 pieces)");
}
