//! A daemon that dies between any two system calls, and files that others changed meanwhile.

mod altered;
mod crashes;

use std::fs;

use super::*;
use crate::calls::script::{self, Then};
use crate::kubelet::{Kubelet, at, index, names};

use Stream::{Stderr, Stdout};

fn resume(kubelet: &Kubelet) -> (LogFile, Found) {
    LogFile::resume(&kubelet.log(), &kubelet.position()).unwrap()
}

/// Where both streams are to be opened.
fn opened(log: &LogFile) -> [Option<u64>; 2] {
    Stream::ALL.map(|stream| log.acknowledged(stream))
}

#[test]
fn log_goes_on_behind_what_is_recorded() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\nhalf", at(1)).unwrap();
    log.append(Stderr, 0, b"error\n", at(1)).unwrap();
    drop(log);
    let (mut log, found) = resume(&kubelet);
    assert_eq!((found, opened(&log)), (Found::Exact, [Some(4), Some(6)]));
    log.append(Stdout, 4, b"half a line\n", at(2)).unwrap();
    let expect = [b"one\nhalf a line\n".to_vec(), b"error\n".to_vec()];
    assert_eq!(kubelet.streams(), expect);
}

#[test]
fn whole_lines_behind_the_record_stay_and_half_a_line_goes() {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\n", at(1)).unwrap();
    let recorded = fs::read(kubelet.position()).unwrap();
    log.append(Stdout, 4, b"two\nthree\n", at(2)).unwrap();
    let text = kubelet.text();
    // From the end of "one" to the end of the append.
    for length in text.find("one\n").unwrap() + 4..=text.len() {
        fs::write(kubelet.position(), &recorded).unwrap();
        fs::write(kubelet.log(), &text[..length]).unwrap();
        let (log, found) = resume(&kubelet);
        let kept = kubelet.text();
        let expect = &text[..text[..length].rfind('\n').unwrap() + 1];
        assert_eq!(kept, expect, "{length}");
        let offset = match kept.lines().count() {
            1 => 4,
            2 => 8,
            _ => 14,
        };
        let expect = (Found::Exact, [Some(offset), Some(0)]);
        assert_eq!((found, opened(&log)), expect, "{length}");
    }
}

#[test]
fn renamed_log_is_used_on_until_kubelet_asks() {
    let mut kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\n", at(1)).unwrap();
    kubelet.rename();
    // Twice: the record knows the file, whatever its name.
    drop(log);
    drop(resume(&kubelet));
    let (mut log, found) = resume(&kubelet);
    assert_eq!((found, opened(&log)), (Found::Exact, [Some(4), Some(0)]));
    log.append(Stdout, 4, b"two\n", at(2)).unwrap();
    assert_eq!(names(&kubelet.logs()), ["0.log.20261122-000000"]);
    log.reopen().unwrap();
    log.append(Stdout, 8, b"three\n", at(3)).unwrap();
    assert_eq!(kubelet.text().lines().count(), 1);
    assert_eq!(kubelet.streams()[0], b"one\ntwo\nthree\n");
}

#[test]
fn rotation_that_kubelet_takes_back_goes_on_in_the_old_log() {
    let mut kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\n", at(1)).unwrap();
    kubelet.rename();
    log.reopen().unwrap();
    // The daemon dies before kubelet has its answer.
    drop(log);
    kubelet.rename_back();
    let (mut log, found) = resume(&kubelet);
    assert_eq!((found, opened(&log)), (Found::Exact, [Some(4), Some(0)]));
    log.append(Stdout, 4, b"two\n", at(2)).unwrap();
    assert_eq!(names(&kubelet.logs()), ["0.log"]);
    assert_eq!(kubelet.streams()[0], b"one\ntwo\n");
}

#[test]
fn rotation_that_came_as_far_as_the_new_file_goes_on_in_it() {
    let mut kubelet = Kubelet::new();
    let mut log = kubelet.create();
    log.append(Stdout, 0, b"one\n", at(1)).unwrap();
    kubelet.rename();
    // Both opens, but not the position; and nobody renames the log back.
    script::set(2, usize::MAX, Then::Killed);
    log.reopen().unwrap_err();
    script::clear();
    let (mut log, found) = resume(&kubelet);
    assert_eq!((found, opened(&log)), (Found::Exact, [Some(4), Some(0)]));
    log.append(Stdout, 4, b"two\n", at(2)).unwrap();
    assert_eq!(names(&kubelet.logs()), ["0.log", "0.log.20261122-000000"]);
    assert_eq!(
        kubelet.text(),
        "2026-11-22T10:00:02.000000000Z stdout F two\n"
    );
    assert_eq!(kubelet.streams()[0], b"one\ntwo\n");
}
