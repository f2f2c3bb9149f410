//! Positions that are lost, and logs that others cut, emptied, extended, replaced or removed.

use super::*;

/// A log with three lines of stdout, each recorded.
fn written() -> Kubelet {
    let kubelet = Kubelet::new();
    let mut log = kubelet.create();
    for (number, line) in [(0, b"one\n"), (1, b"two\n"), (2, b"six\n")] {
        log.append(Stdout, number * 4, line, at(number)).unwrap();
    }
    kubelet
}

const LOST: [Option<u64>; 2] = [None, None];
const RECORDED: [Option<u64>; 2] = [Some(12), Some(0)];

fn check(kubelet: &Kubelet, expect: (Found, [Option<u64>; 2]), expect_stdout: &str) {
    let (mut log, found) = resume(kubelet);
    assert_eq!((found, opened(&log)), expect);
    // Opened at the offset that the guest still has: for a lost position, say 8.
    let offset = log.acknowledged(Stdout).unwrap_or(8);
    log.append(Stdout, offset, b"new\n", at(9)).unwrap();
    assert_eq!(log.acknowledged(Stdout), Some(offset + 4));
    let stdout = String::from_utf8(kubelet.streams()[0].clone()).unwrap();
    assert_eq!(stdout, expect_stdout);
}

#[test]
fn position_that_is_lost_repeats_what_the_guest_has() {
    let expect = (Found::NoPosition, LOST);
    let after = "one\ntwo\nsix\nnew\n";

    let kubelet = written();
    fs::remove_file(kubelet.position()).unwrap();
    check(&kubelet, expect, after);

    let recorded = fs::read(kubelet.position()).unwrap();
    let longer = [&recorded[..], b"x"].concat();
    for torn in [&b""[..], &recorded[..recorded.len() - 1], &longer] {
        let kubelet = written();
        fs::write(kubelet.position(), torn).unwrap();
        check(&kubelet, expect, after);
        // It is whole again; only stderr, silent since, is still unknown.
        let (log, found) = resume(&kubelet);
        assert_eq!((found, opened(&log)), (Found::NoPosition, [Some(12), None]));
    }
}

#[test]
fn position_of_another_log_is_not_believed() {
    let (kubelet, other) = (written(), written());
    fs::copy(other.position(), kubelet.position()).unwrap();
    check(&kubelet, (Found::NoPosition, LOST), "one\ntwo\nsix\nnew\n");
}

#[test]
fn lost_position_and_half_a_line_start_a_new_line() {
    let kubelet = written();
    fs::remove_file(kubelet.position()).unwrap();
    let text = kubelet.text();
    fs::write(kubelet.log(), &text[..text.len() - 2]).unwrap();
    check(&kubelet, (Found::NoPosition, LOST), "one\ntwo\nsi\nnew\n");
}

#[test]
fn lost_position_and_lost_log_start_anew() {
    let kubelet = written();
    fs::remove_file(kubelet.position()).unwrap();
    fs::remove_file(kubelet.log()).unwrap();
    check(&kubelet, (Found::NoPosition, LOST), "new\n");
}

#[test]
fn emptied_log_goes_on_at_its_start() {
    let kubelet = written();
    fs::write(kubelet.log(), "").unwrap();
    check(&kubelet, (Found::Altered, RECORDED), "new\n");
}

#[test]
fn log_that_was_cut_goes_on_in_a_new_line() {
    let kubelet = written();
    let text = kubelet.text();
    fs::write(kubelet.log(), &text[..text.len() - 2]).unwrap();
    check(&kubelet, (Found::Altered, RECORDED), "one\ntwo\nsi\nnew\n");
}

#[test]
fn log_that_was_emptied_and_written_on_is_no_known_place() {
    // Longer than before, and the recorded length is now within a line.
    let kubelet = written();
    let text = "x".repeat(500);
    let line = format!("2026-11-22T10:00:07.000000000Z stdout F {text}\n");
    fs::write(kubelet.log(), &line).unwrap();
    check(
        &kubelet,
        (Found::Altered, RECORDED),
        &format!("{text}\nnew\n"),
    );
}

#[test]
fn lines_of_others_stay_and_count_for_nothing() {
    let kubelet = written();
    let text = kubelet.text() + "somebody was here\n";
    fs::write(kubelet.log(), &text).unwrap();
    let (log, found) = resume(&kubelet);
    assert_eq!((found, opened(&log)), (Found::Altered, RECORDED));
    assert_eq!(kubelet.text(), text);
}

#[test]
fn more_than_one_append_behind_the_record_is_not_ours() {
    let kubelet = written();
    let line = "2026-11-22T10:00:07.000000000Z stderr F x\n";
    let text = kubelet.text() + &line.repeat(limits::WRITE_BYTES / line.len() + 1);
    fs::write(kubelet.log(), &text).unwrap();
    let (log, found) = resume(&kubelet);
    assert_eq!((found, opened(&log)), (Found::Altered, RECORDED));
    assert_eq!(kubelet.text(), text);
}

#[test]
fn removed_log_goes_on_in_a_new_one() {
    let kubelet = written();
    let bytes = fs::metadata(kubelet.log()).unwrap().len();
    fs::remove_file(kubelet.log()).unwrap();
    // On ext4 these get the inode number of the removed file: the time of birth tells them apart.
    fs::write(kubelet.log(), "").unwrap();
    fs::write(kubelet.logs().join("1.log"), "").unwrap();
    check(&kubelet, (Found::Removed { bytes }, RECORDED), "new\n");
}

#[test]
fn crowded_folder_is_an_error() {
    let kubelet = written();
    fs::remove_file(kubelet.log()).unwrap();
    for number in 0..=limits::FOLDER_ENTRIES {
        fs::write(kubelet.logs().join(number.to_string()), "").unwrap();
    }
    let error = LogFile::resume(&kubelet.log(), &kubelet.position()).unwrap_err();
    let folder = kubelet.logs();
    let expect = format!(
        "look for a renamed log in {}: it has more than 4096 entries, remove some",
        folder.display()
    );
    assert_eq!(error.to_string(), expect);
    assert!(!kubelet.log().exists());
}
