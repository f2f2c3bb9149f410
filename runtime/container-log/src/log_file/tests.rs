//! A log that is written, rotated, refused and out of space.

mod refused;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::calls::script::{self, Then};
use crate::kubelet::{Kubelet, at, chain, names};
use crate::limits::TEXT_BYTES;

use Stream::{Stderr, Stdout};

const HOUR: &str = "2026-11-22T10:00";

/// The lines without their times' hour.
fn lines(kubelet: &Kubelet) -> Vec<String> {
    let text = kubelet.text();
    let lines = text.lines().map(|line| line.strip_prefix(HOUR).unwrap());
    lines.map(str::to_owned).collect()
}

#[test]
fn lines_are_written_with_the_time_of_their_end() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    assert_eq!(log.append(Stdout, 0, b"one\ntw", at(1)).unwrap(), 4);
    assert_eq!(log.append(Stderr, 0, b"error\n", at(2)).unwrap(), 6);
    assert_eq!(log.append(Stdout, 6, b"", at(3)).unwrap(), 4);
    assert_eq!(log.append(Stdout, 6, b"o\n\n", at(4)).unwrap(), 9);
    let expect = [
        ":01.000000000Z stdout F one",
        ":02.000000000Z stderr F error",
        ":04.000000000Z stdout F two",
        ":04.000000000Z stdout F ",
    ];
    assert_eq!(lines(&kubelet), expect);
}

#[test]
fn rest_is_written_when_the_stream_ends() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    assert_eq!(log.finish(Stdout, at(0)).unwrap(), Some(0));
    assert_eq!(log.append(Stdout, 0, b"rest", at(1)).unwrap(), 0);
    assert_eq!(log.append(Stderr, 0, b"other", at(1)).unwrap(), 0);
    assert_eq!(log.finish(Stdout, at(2)).unwrap(), Some(4));
    assert_eq!(log.finish(Stdout, at(3)).unwrap(), Some(4));
    assert_eq!(log.acknowledged(Stderr), Some(0));
    assert_eq!(lines(&kubelet), [":02.000000000Z stdout P rest"]);
}

#[test]
fn any_bytes_are_kept() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    let all: Vec<u8> = (0..=255).chain(0..=9).chain(*b"\r\n\n\n\r\0").collect();
    let long = [vec![0; 5 * TEXT_BYTES], vec![b'\n']].concat();
    let input = [all, long].concat();
    let length = u64::try_from(input.len()).unwrap();
    log.append(Stdout, 0, &input, at(0)).unwrap();
    log.append(Stderr, 0, b"between\n", at(0)).unwrap();
    assert_eq!(log.finish(Stdout, at(0)).unwrap(), Some(length));
    assert_eq!(kubelet.streams(), [input, b"between\n".to_vec()]);
}

#[test]
fn bytes_that_were_taken_are_skipped() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\nha", at(1)).unwrap();
    assert_eq!(log.append(Stdout, 0, b"one", at(2)).unwrap(), 4);
    // The stream was opened again where it was acknowledged.
    assert_eq!(log.append(Stdout, 4, b"half\n", at(3)).unwrap(), 9);
    let expect = [
        ":01.000000000Z stdout F one",
        ":03.000000000Z stdout F half",
    ];
    assert_eq!(lines(&kubelet), expect);
}

#[test]
fn missing_bytes_are_an_error() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"ab", at(1)).unwrap();
    let error = log.append(Stdout, 3, b"d\n", at(1)).unwrap_err();
    let path = kubelet.log();
    let expect = format!(
        "append to {}: stdout goes on at offset 3, but the log has it up to 2",
        path.display()
    );
    assert_eq!(chain(&error), expect);
    assert_eq!(log.append(Stdout, 2, b"c\n", at(1)).unwrap(), 4);
}

#[test]
fn append_is_two_calls_and_silence_is_none() {
    fn check(calls: usize, deed: impl FnOnce()) {
        let before = script::count();
        deed();
        assert_eq!(script::count() - before, calls);
    }
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    let lines = b"line\n".repeat(crate::limits::PORTION_BYTES / 5);
    let length = u64::try_from(lines.len()).unwrap();
    check(2, || {
        log.append(Stdout, 0, &lines, at(0)).unwrap();
    });
    check(0, || {
        log.append(Stdout, length, b"unfinished", at(0)).unwrap();
    });
    check(2, || {
        log.finish(Stdout, at(0)).unwrap();
    });
    check(0, || {
        log.finish(Stdout, at(0)).unwrap();
    });
    check(1, || log.reopen().unwrap());
    fs::remove_file(kubelet.log()).unwrap();
    check(3, || log.reopen().unwrap());
}

#[test]
fn reopen_goes_on_in_a_new_file() {
    let mut kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\nha", at(1)).unwrap();
    kubelet.rename();
    log.append(Stdout, 6, b"lf\ntw", at(2)).unwrap();
    log.reopen().unwrap();
    assert_eq!(lines(&kubelet), Vec::<String>::new());
    assert_eq!(names(&kubelet.logs()), ["0.log", "0.log.20261122-000000"]);
    log.append(Stdout, 11, b"o\n", at(3)).unwrap();
    log.reopen().unwrap();
    assert_eq!(lines(&kubelet), [":03.000000000Z stdout F two"]);
    assert_eq!(kubelet.streams(), [b"one\nhalf\ntwo\n".to_vec(), vec![]]);
}

#[test]
fn reopen_that_fails_stays_in_the_old_file_and_leaves_nothing() {
    // The opens fail, or the position's write.
    for calls in 0..3 {
        let mut kubelet = Kubelet::new();
        let mut log = kubelet.create();
        kubelet.rename();
        script::set(calls, usize::MAX, Then::Refused { calls: 1 });
        log.reopen().unwrap_err();
        script::clear();
        assert_eq!(names(&kubelet.logs()), ["0.log.20261122-000000"]);
        kubelet.rename_back();
        log.append(Stdout, 0, b"one\n", at(1)).unwrap();
        assert_eq!(lines(&kubelet), [":01.000000000Z stdout F one"]);
    }
}

#[test]
fn log_that_is_there_is_appended_to() {
    let kubelet = Kubelet::new();
    let old = "2026-11-22T10:00:00.000000000Z stdout F of an earlier life";
    // Somebody's position is overwritten.
    fs::write(kubelet.position(), [7; 1000]).unwrap();
    for end in ["\n", ""] {
        fs::write(kubelet.log(), format!("{old}{end}")).unwrap();
        let mut log = kubelet.create();
        log.append(Stdout, 0, b"new\n", at(1)).unwrap();
        let expect = [
            ":00.000000000Z stdout F of an earlier life",
            ":01.000000000Z stdout F new",
        ];
        assert_eq!(lines(&kubelet), expect);
        let length = fs::metadata(kubelet.position()).unwrap().len();
        assert_eq!(length, 72);
    }
}

#[test]
fn files_are_closed_to_others() {
    let kubelet = Kubelet::new();
    kubelet.create();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // The umask may take away more.
    assert_eq!(mode(kubelet.log()) & !0o640, 0);
    assert_eq!(mode(kubelet.log()) & 0o600, 0o600);
    assert_eq!(mode(kubelet.position()), 0o600);
}

/// Fails an append of three lines at every point and in every way that a full disk can, then lets
/// the caller try the same bytes again.
#[test]
fn full_disk_leaves_nothing_and_the_same_bytes_succeed_later() {
    // No write at all; part of the write of the log; all of it but not the position's.
    let points = [(0, 0), (1, 1), (1, 60), (1, 100), (1, usize::MAX)];
    let ways = |writes| {
        [
            Then::Full { writes },
            Then::Ill {
                writes,
                truncations: writes,
            },
        ]
    };
    for (calls, bytes) in points {
        for then in [1, 2].into_iter().flat_map(ways) {
            let kubelet = Kubelet::new();
            let mut log = kubelet.create();
            log.append(Stderr, 0, b"before\n", at(0)).unwrap();
            log.append(Stdout, 0, b"o", at(0)).unwrap();
            script::set(calls, bytes, then);
            let mut tries = 0;
            while let Err(error) = log.append(Stdout, 1, b"ne\ntwo\nthree\nfo", at(1)) {
                tries += 1;
                assert!(tries < 10, "{error}");
                assert_eq!(log.acknowledged(Stdout), Some(0));
            }
            script::clear();
            assert!(tries > 0, "{calls} {bytes} {then:?}");
            log.append(Stdout, 16, b"ur\n", at(2)).unwrap();
            let expect = [b"one\ntwo\nthree\nfour\n".to_vec(), b"before\n".to_vec()];
            assert_eq!(kubelet.streams(), expect, "{calls} {bytes} {then:?}");
        }
    }
}

#[test]
fn full_disk_is_named() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    script::set(0, 0, Then::Full { writes: 1 });
    let error = log.append(Stdout, 0, b"a\n", at(0)).unwrap_err();
    let path = kubelet.log();
    assert_eq!(
        chain(&error),
        format!("append to {}: no storage space", path.display())
    );
    script::set(1, usize::MAX, Then::Full { writes: 1 });
    let error = log.append(Stdout, 0, b"a\n", at(0)).unwrap_err();
    script::clear();
    let path = kubelet.position();
    assert_eq!(
        chain(&error),
        format!("write {}: no storage space", path.display())
    );
    assert_eq!(fs::metadata(kubelet.log()).unwrap().size(), 0);
}

#[test]
fn undo_in_an_emptied_log_writes_no_zeros() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, &b"line\n".repeat(100), at(0))
        .unwrap();
    fs::write(kubelet.log(), "").unwrap();
    script::set(1, 20, Then::Full { writes: 1 });
    log.append(Stdout, 500, b"after\n", at(1)).unwrap_err();
    script::clear();
    assert_eq!(kubelet.text(), "");
    log.append(Stdout, 500, b"after\n", at(1)).unwrap();
    assert_eq!(lines(&kubelet), [":01.000000000Z stdout F after"]);
}
