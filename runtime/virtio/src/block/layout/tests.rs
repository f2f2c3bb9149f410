//! Segment arithmetic against a flat list of bytes, and what is no disk.

use proptest::prelude::*;

use super::*;

fn file(length: u64) -> File {
    let file = tempfile::tempfile().expect("make a file");
    file.set_len(length).expect("size the file");
    file
}

fn segment(offset: u64, length: u64) -> Segment {
    let file = file(offset + length);
    Segment {
        file,
        offset,
        length,
    }
}

proptest! {
    #[test]
    fn layout_parts_equal_a_flat_map(
        segments in proptest::collection::vec((0_u64..4, 1_u64..4), 1..6),
        start in 0_u64..80_000,
        length in 0_u64..80_000,
    ) {
        let made = segments.iter().map(|(offset, length)| segment(offset * 4096, length * 4096));
        let layout = Layout::new(made.collect()).expect("aligned and in their files");
        let total: u64 = segments.iter().map(|(_, length)| length * 4096).sum();
        prop_assert_eq!(layout.length(), total);
        let Some(parts) = layout.parts(start, length) else {
            prop_assert!(start + length > total);
            return Ok(());
        };
        prop_assert!(start + length <= total);
        let files: Vec<&File> = layout.files().collect();
        let mut next = 0;
        for part in parts {
            prop_assert_eq!(part.range.start, next);
            prop_assert!(part.range.start < part.range.end);
            next = part.range.end;
            // Where the part's first byte lies, counted segment by segment.
            let mut place = start + part.range.start;
            let mut index = 0;
            while place >= segments[index].1 * 4096 {
                place -= segments[index].1 * 4096;
                index += 1;
            }
            prop_assert!(std::ptr::eq(part.file, files[index]));
            prop_assert_eq!(part.position, segments[index].0 * 4096 + place);
            let end = place + part.range.end - part.range.start;
            prop_assert!(end <= segments[index].1 * 4096);
        }
        prop_assert_eq!(next, length);
    }
}

#[test]
fn layout_asked_past_its_end_has_no_parts() {
    let layout = Layout::new(vec![segment(0, 4096), segment(4096, 8192)]).expect("a disk");
    for (start, length) in [
        (12288, 1),
        (12287, 2),
        (u64::MAX, 1),
        (1, u64::MAX),
        (u64::MAX, 0),
    ] {
        assert!(layout.parts(start, length).is_none(), "{start}+{length}");
    }
    assert_eq!(
        layout.parts(12288, 0).expect("nothing at the end").count(),
        0
    );
    assert_eq!(
        layout.parts(4096, 0).expect("nothing at a border").count(),
        0
    );
}

fn check(segments: Vec<Segment>, expected: &str) {
    let error = Layout::new(segments).expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn layout_of_misplaced_segments_is_refused() {
    check(vec![], "make a disk of no segments");
    check(
        vec![segment(0, 4096), segment(512, 4096)],
        "place segment 1: offset 512 and length 4096 are not multiples of 4096 above 0",
    );
    check(
        vec![segment(0, 0)],
        "place segment 0: offset 0 and length 0 are not multiples of 4096 above 0",
    );
    let short = Segment {
        file: file(4096),
        offset: 4096,
        length: 4096,
    };
    check(
        vec![short],
        "place segment 0: it ends at 8192, its file at 4096",
    );
}

#[test]
fn layout_of_no_file_is_refused() {
    let file = File::open("/dev/zero").expect("open a device");
    let segment = Segment {
        file,
        offset: 0,
        length: 4096,
    };
    check(
        vec![segment],
        "use segment 0: it is neither a regular file nor a block device",
    );
}

#[test]
fn layout_longer_than_a_file_can_be_is_refused() {
    let segment = Segment {
        file: file(4096),
        offset: u64::MAX - 4095,
        length: 4096,
    };
    check(
        vec![segment],
        "sum up the segments' lengths: past 2^63 bytes",
    );
}

#[test]
fn layout_that_grows_has_the_new_end_and_no_more() {
    let layout = Layout::whole(file(1024), 1024, 512).expect("two blocks");
    let only = layout.files().next().expect("its file");
    only.set_len(4096 + 100).expect("grow");
    assert!(layout.parts(1024, 512).is_none(), "nobody has looked");
    assert_eq!(layout.grow(512).expect("asked"), 4096);
    let ends = |start, length| {
        let parts = layout.parts(start, length)?;
        Some(
            parts
                .map(|part| (part.position, part.range))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(ends(512, 3584), Some(vec![(512, 0..3584)]));
    assert_eq!(ends(4096, 1), None);
    // Smaller: what was promised stays.
    only.set_len(512).expect("shrink");
    assert_eq!(layout.grow(512).expect("asked"), 512);
    assert_eq!(layout.length(), 4096);
}
