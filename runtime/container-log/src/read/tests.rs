//! Logs read back: pieces joined, bad lines named, sizes limited.

use std::error::Error;

use super::*;

const TIME: &str = "2026-11-22T10:00:00.000000000Z";

/// Each entry as "stream text" and `.` for a newline or `…` for none; each error with its cause.
fn read(log: &[u8]) -> Vec<String> {
    Entries::new(log).map(told).collect()
}

fn told(item: Result<Entry, ReadError>) -> String {
    match item {
        Ok(entry) => {
            let end = match entry.end {
                LineEnd::Newline => '.',
                LineEnd::Open => '…',
            };
            let text = String::from_utf8_lossy(&entry.text);
            format!("{} {text}{end}", entry.stream)
        }
        Err(error) => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

fn check(lines: &[&str], expect: &[&str]) {
    let log: String = lines
        .iter()
        .map(|line| format!("{TIME} {line}\n"))
        .collect();
    assert_eq!(read(log.as_bytes()), expect);
}

#[test]
fn pieces_are_joined_for_each_stream() {
    check(&[], &[]);
    check(
        &["stdout F a", "stderr F b", "stdout F "],
        &["stdout a.", "stderr b.", "stdout ."],
    );
    check(
        &["stdout P a", "stderr P x", "stdout F b", "stderr F y"],
        &["stdout ab.", "stderr xy."],
    );
    check(&["stderr P x", "stdout P a"], &["stdout a…", "stderr x…"]);
}

#[test]
fn bad_line_is_named_and_the_next_is_read() {
    let log = format!("{TIME} stdout P a\nhello\n{TIME} stdout F b\n{TIME} stdo");
    let expect = [
        "parse line 2 of the log: parse the time: it is not as in 2026-11-22T10:00:00.123456789Z",
        "stdout ab.",
        "take line 4 of the log: it has no end",
    ];
    assert_eq!(read(log.as_bytes()), expect);
}

#[test]
fn line_over_the_limit_is_skipped() {
    let most = "x".repeat(limits::TEXT_BYTES);
    let log = format!(
        "{TIME} stdout F {most}\n{TIME} stdout F x{most}\n{most}{most}{most}\n{TIME} stderr F b\n"
    );
    let too_long = |number| {
        let most = limits::LINE_BYTES;
        format!("take line {number} of the log: it is longer than {most} bytes")
    };
    let expect = [
        format!("stdout {most}."),
        too_long(2),
        too_long(3),
        "stderr b.".to_owned(),
    ];
    assert_eq!(read(log.as_bytes()), expect);
}

#[test]
fn entry_over_the_limit_comes_in_parts() {
    let piece = "x".repeat(limits::TEXT_BYTES);
    let pieces = limits::ENTRY_BYTES / limits::TEXT_BYTES;
    let mut log = format!("{TIME} stdout P {piece}\n").repeat(pieces);
    log.push_str(&format!("{TIME} stdout F rest\n"));
    let entries: Vec<_> = Entries::new(log.as_bytes()).map(Result::unwrap).collect();
    let [first, second] = &entries[..] else {
        panic!("{} entries", entries.len())
    };
    assert_eq!(
        (first.text.len(), first.end),
        (limits::ENTRY_BYTES, LineEnd::Open)
    );
    assert_eq!(
        (&second.text[..], second.end),
        (&b"rest"[..], LineEnd::Newline)
    );
}

#[test]
fn failed_read_ends_the_log() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk is ill"))
        }
    }
    let good = format!("{TIME} stdout P a\n");
    let source = io::BufReader::new(good.as_bytes().chain(Broken));
    let items: Vec<_> = Entries::new(source).map(told).collect();
    assert_eq!(items, ["read line 2 of the log: disk is ill", "stdout a…"]);
}
