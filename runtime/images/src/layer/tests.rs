//! Tests of the conversion of a layer: its limits, its paths, and that it can be read back.

use harness::tar_items::{Item, Kind, file, folder, item, tar};

use super::unpack::Packing;
use super::{CheckError, LayerLimits, LayerStream, check_layer, convert};
use crate::digest::Digest;
use crate::erofs::format::BLOCK_BYTES;
use crate::erofs::read::Blob;
use crate::tree::{Content, Data, DataLayout, Tree};

const SMALL: LayerLimits = LayerLimits {
    entries: 20,
    bytes: 200_000,
    file_bytes: 100_000,
    metadata_bytes: 20_000,
    bomb_ratio: 10,
    bomb_floor_bytes: 50_000,
};

fn check(items: &[Item], expect: Result<(), &str>) {
    let result = check_layer(&tar(items), SMALL);
    match (result, expect) {
        (Ok(()), Ok(())) => {}
        (Err(CheckError::Refused(error)), Err(part)) => {
            assert!(
                error.to_string().contains(part),
                "expected `{part}`: {error}"
            );
        }
        (got, expect) => panic!("{items:?}: got {got:?}, expected {expect:?}"),
    }
}

fn symlink(path: &str, target: &str) -> Item {
    item(path, Kind::Symlink(target.into()))
}

#[test]
fn layer_reads_back_as_it_was() {
    let every_kind = [
        folder("d"),
        file("d/f", "x".repeat(5000)),
        item("d/h", Kind::HardLink("d/f".into())),
        symlink("s", "d/f"),
        item("c", Kind::Char(1, 3)),
        item("b", Kind::Block(8, 1)),
        item("p", Kind::Fifo),
        Item {
            xattrs: vec![("user.a".into(), b"v".to_vec())],
            ..file("x", "")
        },
    ];
    check(&every_kind, Ok(()));
    check(&[], Ok(()));
}

#[test]
fn bytes_past_4_gib_are_in_their_place_in_every_form() {
    const FOUR_GIB: u64 = 4 << 30;
    for (_, layer) in harness::samples::huge_in_every_form().unwrap().layers {
        let stream = LayerStream {
            packed: &layer[..],
            promised: None,
            label: Some(Packing::Plain),
            diff_id: Digest::of(&layer),
        };
        let limits = LayerLimits::default();
        let blob = convert(stream, Vec::new(), limits, &mut |_| {})
            .unwrap()
            .blob;
        let tree = Blob::open(&blob[..], blob.len() as u64)
            .unwrap()
            .tree()
            .unwrap();
        let root = tree.directory(Tree::ROOT).unwrap();
        let form = tree.directory(*root.entries.values().next().unwrap());
        let huge = tree.node(form.unwrap().entries[&b"huge"[..]]);
        let Content::Regular(Data { size, layout, .. }) = &huge.content else {
            panic!("{huge:?}");
        };
        let DataLayout::Chunked { block_bits, chunks } = layout else {
            panic!("{layout:?}");
        };
        assert_eq!(*size, FOUR_GIB + 100_003);
        let chunk_bytes = BLOCK_BYTES << block_bits;
        let block = chunks[usize::try_from(FOUR_GIB / chunk_bytes).unwrap()];
        let place = u64::from(block) * BLOCK_BYTES + FOUR_GIB % chunk_bytes;
        assert_eq!(
            blob[usize::try_from(place).unwrap()],
            3,
            "what was written there"
        );
    }
}

#[test]
fn paths_through_symlinks_stay_inside() {
    check(&[symlink("up", "../../.."), file("up/etc", "x")], Ok(()));
    check(
        &[symlink("abs", "/usr"), file("abs/x", ""), file("usr/x", "")],
        Err("an earlier entry"),
    );
    check(
        &[
            folder("a"),
            symlink("a/l", "../b/./c"),
            file("a/l/x", ""),
            file("b/c/y", ""),
        ],
        Ok(()),
    );
    check(&[symlink("gone", "no/where"), file("gone/x", "")], Ok(()));
}

#[test]
fn whiteouts_beside_what_they_hide_hide_lower_layers_only() {
    check(&[file("a", ""), file(".wh.a", "")], Ok(()));
    check(&[file(".wh.d", ""), folder("d"), file("d/x", "")], Ok(()));
    check(&[file("d/.wh..wh..opq", ""), file("d/x", "")], Ok(()));
    check(
        &[file(".wh..wh.plnk/1", ""), file(".wh..wh.orph", "")],
        Ok(()),
    );
}

#[test]
fn layers_over_their_limits_are_refused() {
    let many: Vec<_> = (0..21).map(|number| file(number.to_string(), "")).collect();
    check(&many, Err("more than 20 "));
    check(
        &[file("a/".repeat(25) + "x", "")],
        Err("more than 20 files and folders"),
    );
    check(
        &[file("f", "x".repeat(100_001))],
        Err("entry `f`: the size is out of range"),
    );
    let big = "x".repeat(99_000);
    check(
        &[file("a", &big), file("b", &big), file("c", &big)],
        Err("more than 200000 bytes"),
    );
    let long = |number: usize| symlink(&number.to_string(), &"t".repeat(4000));
    check(
        &[long(1), long(2), long(3), long(4), long(5)],
        Err("bytes of names and attributes"),
    );
}

#[test]
fn bomb_is_refused_by_what_it_fills_and_zeros_are_not() {
    use super::{LayerError, LayerStream, Packing, convert};
    let run = |byte: u8| {
        let packed = crate::archive::zstandard(&tar(&[file("f", vec![byte; 90_000])]));
        let diff_id = packed.diff_id.parse().unwrap();
        let label = Some(Packing::Zstd);
        let stream = LayerStream {
            packed: &packed.bytes[..],
            promised: None,
            label,
            diff_id,
        };
        convert(stream, Vec::new(), SMALL, &mut |_| {}).map(|converted| converted.length)
    };
    assert!(matches!(run(b'x'), Err(LayerError::Bomb { .. })));
    run(0).unwrap();
}

#[test]
fn blob_is_the_same_each_time() {
    use super::{LayerStream, convert};
    let bytes = tar(&[folder("d"), file("d/f", "x"), symlink("s", "d")]);
    let run = || {
        let diff_id = crate::Digest::of(&bytes);
        let stream = LayerStream {
            packed: &bytes[..],
            promised: None,
            label: None,
            diff_id,
        };
        convert(stream, Vec::new(), SMALL, &mut |_| {})
            .unwrap()
            .blob
    };
    assert_eq!(run(), run());
}

#[test]
fn empty_number_fields_of_a_header_are_zero() {
    let mut archive = tar(&[file("f", "content")]);
    // ustar: uid at 108, gid at 116, size at 124, mtime at 136, checksum at 148 (tar(5)).
    for field in [108..116, 116..124, 136..148] {
        archive[field].fill(0);
    }
    archive[148..156].fill(b' ');
    let sum: u32 = archive[..512].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert!(check_layer(&archive, SMALL).is_ok());
}

/// Makes every header's checksum right again, so that changes get past it.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    for record in bytes
        .chunks_exact_mut(512)
        .filter(|record| record[257..262] == *b"ustar")
    {
        record[148..156].fill(b' ');
        let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
        record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 2000, failure_persistence: None, ..Default::default()
    })]

    /// The fuzz target looks further; this runs with every test.
    #[test]
    fn damaged_stream_is_refused_or_reads_back(
        changes in proptest::collection::vec((0..8192_usize, 0..=255_u8), 1..12)
    ) {
        let xattrs = vec![("user.a".to_owned(), b"value".to_vec())];
        let mut bytes = tar(&[
            folder("d"),
            Item { xattrs, ..file("d/f", "x".repeat(700)) },
            item("h", Kind::HardLink("d/f".into())),
            symlink("s", "d"),
            file("s/through", "y"),
            file("d/.wh.gone", ""),
            item("c", Kind::Char(1, 3)),
        ]);
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        match check_layer(&with_checksums(bytes), SMALL) {
            Ok(()) | Err(CheckError::Refused(_)) => {}
            Err(bug) => panic!("{bug}: {bug:?}"),
        }
    }
}
