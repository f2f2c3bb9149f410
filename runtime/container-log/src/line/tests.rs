//! The form of a line, both ways, and what is refused.

use super::*;

fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

fn check_both_ways(line: Line<'_>, expect: &[u8]) {
    let mut out = Vec::new();
    write(
        &mut out,
        &Stamp::new(line.time),
        line.stream,
        line.tag,
        line.text,
    );
    assert_eq!(out.strip_suffix(b"\n"), Some(expect));
    assert_eq!(parse(expect), Ok(line));
}

#[test]
fn line_is_written_and_parsed() {
    let full = Line {
        time: at(1_795_341_600, 123_456_789),
        stream: Stream::Stdout,
        tag: Tag::Full,
        text: b"hello  world ",
    };
    check_both_ways(
        full,
        b"2026-11-22T10:00:00.123456789Z stdout F hello  world ",
    );
    let empty = Line {
        time: at(0, 0),
        stream: Stream::Stderr,
        tag: Tag::Partial,
        text: b"",
    };
    check_both_ways(empty, b"1970-01-01T00:00:00.000000000Z stderr P ");
    let odd = Line {
        text: b"\0\r\xff\xfe\t",
        ..empty
    };
    check_both_ways(
        odd,
        b"1970-01-01T00:00:00.000000000Z stderr P \0\r\xff\xfe\t",
    );
}

#[test]
fn stream_bytes_count_the_newline_of_full_lines_only() {
    let mut line = parse(b"1970-01-01T00:00:00.000000000Z stderr P abc").unwrap();
    assert_eq!(line.stream_bytes(), 3);
    line.tag = Tag::Full;
    assert_eq!(line.stream_bytes(), 4);
}

#[test]
fn head_is_as_long_as_its_limit() {
    let mut out = Vec::new();
    let stamp = Stamp::new(at(1, 1));
    write(&mut out, &stamp, Stream::Stdout, Tag::Full, b"");
    assert_eq!(out.len(), limits::HEAD_BYTES + 1);
    out.clear();
    write(&mut out, &stamp, Stream::Stderr, Tag::Full, b"");
    assert_eq!(out.len(), limits::HEAD_BYTES + 1);
}

#[test]
fn clock_outside_of_the_format_is_taken_to_its_edge() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Stamp::new(before).0, "1970-01-01T00:00:00.000000000Z");
    assert_eq!(
        Stamp::new(at(1 << 40, 5)).0,
        "9999-12-31T23:59:59.000000000Z"
    );
}

#[test]
fn other_bytes_are_refused() {
    fn check(line: &[u8], expect: Malformed) {
        assert_eq!(
            parse(line),
            Err(expect),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
    check(b"", Malformed::Time);
    check(b"hello", Malformed::Time);
    check(b"\xff stdout F x", Malformed::Time);
    check(b"2026-13-22T10:00:00.1Z stdout F x", Malformed::Time);
    check(b"2026-11-22T10:00:00Z", Malformed::Time);
    check(b"2026-11-22T10:00:00Z stdin F x", Malformed::Stream);
    check(b"2026-11-22T10:00:00Z stdout", Malformed::Stream);
    check(b"2026-11-22T10:00:00Z stdout F", Malformed::Tag);
    check(b"2026-11-22T10:00:00Z stdout X x", Malformed::Tag);
    let mut long = b"2026-11-22T10:00:00Z stdout F ".to_vec();
    long.resize(long.len() + limits::TEXT_BYTES, b'x');
    assert!(parse(&long).is_ok());
    long.push(b'x');
    let length = limits::TEXT_BYTES + 1;
    check(&long, Malformed::Text { length });
}
