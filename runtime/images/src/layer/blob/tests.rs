//! Tests of how files are laid on blocks: zeros are not stored, chunks stay few.

use super::{BlobWriter, MOST_CHUNKS, Piece, chunk_bits};
use crate::erofs::BLOCK_BYTES;
use crate::tree::{DataLayout, HOLE};

#[test]
fn chunks_stay_few_whatever_the_size() {
    for size in [0, 1, 1 << 20, (256 << 20) + 1, 64 << 30, 1 << 44] {
        let chunk_bytes = BLOCK_BYTES << chunk_bits(size);
        assert!(size.div_ceil(chunk_bytes) <= MOST_CHUNKS, "{size}");
    }
    assert_eq!(BLOCK_BYTES << chunk_bits(256 << 20), 64 << 10);
}

#[test]
fn blocks_of_zeros_are_not_stored() {
    let mut blob = BlobWriter::new(Vec::new());
    let mut content = vec![0; 300_000];
    content[200_000] = 1;
    blob.flat(&mut &content[..], 300_000, &mut |_| Ok(()))
        .unwrap();
    assert_eq!(blob.stored, BLOCK_BYTES);
}

#[test]
fn sparse_file_has_blocks_only_where_its_data_is() {
    let mut blob = BlobWriter::new(Vec::new());
    let pieces = [
        Piece {
            offset: 70_000,
            length: 3,
        },
        Piece {
            offset: 200_000,
            length: 5,
        },
    ];
    let data = blob
        .sparse(
            &mut &b"abc\0\0\0\0\0"[..],
            1 << 20,
            &pieces,
            &mut |_| Ok(()),
        )
        .unwrap();
    let DataLayout::Chunked { chunks, .. } = data.layout else {
        panic!("not sparse")
    };
    assert_eq!(chunks.len(), 16);
    let used: Vec<_> = chunks
        .iter()
        .enumerate()
        .filter(|(_, block)| **block != HOLE)
        .collect();
    assert_eq!(used, [(1, &1)], "a piece of zeros is a hole too");
}
