//! Lines, pieces and rests, and that chunks leave no trace.

use std::time::SystemTime;

use proptest::prelude::*;

use super::*;

/// Cuts each chunk behind the rest of the one before. Gives (tag, text) of each line, and the rest.
fn cut(chunks: &[&[u8]]) -> (Vec<(Tag, Vec<u8>)>, Vec<u8>) {
    let (mut out, mut rest) = (Vec::new(), Vec::new());
    let stamp = Stamp::new(SystemTime::UNIX_EPOCH);
    for chunk in chunks {
        rest.extend_from_slice(chunk);
        let taken = lines(&mut out, &stamp, Stream::Stdout, &rest);
        rest.drain(..taken);
    }
    let lines = out
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line::parse(line.strip_suffix(b"\n").unwrap()).unwrap())
        .map(|line| (line.tag, line.text.to_vec()))
        .collect();
    (lines, rest)
}

fn check(input: &[u8], expect: &[(Tag, &[u8])], expect_rest: &[u8]) {
    let (lines, rest) = cut(&[input]);
    let lines: Vec<_> = lines.iter().map(|(tag, text)| (*tag, &text[..])).collect();
    assert_eq!(lines, expect);
    assert_eq!(rest, expect_rest);
}

#[test]
fn lines_end_at_newlines_and_nowhere_else() {
    check(b"", &[], b"");
    check(b"rest", &[], b"rest");
    check(b"\n\n", &[(Tag::Full, b""), (Tag::Full, b"")], b"");
    check(
        b"a\r\nb\0\rc\n d",
        &[(Tag::Full, b"a\r"), (Tag::Full, b"b\0\rc")],
        b" d",
    );
}

#[test]
fn long_lines_are_cut_into_pieces() {
    let long = vec![b'x'; 2 * TEXT_BYTES + 5];
    let (most, five) = (&long[..TEXT_BYTES], &long[..5]);
    let with_newline = |length: usize| [&long[..length], b"\n"].concat();

    check(most, &[], most);
    check(&with_newline(TEXT_BYTES), &[(Tag::Full, most)], b"");
    check(&long[..TEXT_BYTES + 1], &[(Tag::Partial, most)], b"x");
    check(
        &with_newline(2 * TEXT_BYTES),
        &[(Tag::Partial, most), (Tag::Full, most)],
        b"",
    );
    check(
        &with_newline(2 * TEXT_BYTES + 5),
        &[
            (Tag::Partial, most),
            (Tag::Partial, most),
            (Tag::Full, five),
        ],
        b"",
    );
}

proptest! {
    #[test]
    fn chunks_leave_no_trace(
        runs in prop::collection::vec((0..40_000usize, any::<bool>()), 0..6),
        chunk in 1..50_000usize,
    ) {
        let mut input = Vec::new();
        for (length, newline) in runs {
            input.resize(input.len() + length, b'x');
            input.extend_from_slice(if newline { b"\n" } else { b"" });
        }
        let chunks: Vec<_> = input.chunks(chunk).collect();
        prop_assert_eq!(cut(&chunks), cut(&[&input]));
    }
}
