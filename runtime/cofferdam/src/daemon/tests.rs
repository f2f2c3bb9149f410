//! What is shown of values, and what is said where no daemon answers.

use std::{os::unix::net::UnixListener, time::UNIX_EPOCH};

use super::*;

#[test]
fn ids_are_as_long_as_it_takes_to_tell_them_apart() {
    let check = |ids: &[&str], expect: usize| {
        assert_eq!(show::id_length(ids.iter().copied()), expect, "{ids:?}");
    };
    check(&[], 12);
    check(&["0123456789abcdef", "1123456789abcdef"], 12);
    check(&["0123456789abcXef", "0123456789abcYef", "9"], 14);
    // The same one twice needs no telling apart.
    check(&["0123456789abcdef", "0123456789abcdef"], 12);
}

#[test]
fn age_is_rounded_down_to_what_people_want_to_know() {
    let check = |seconds: u64, expect: &str| {
        let now = UNIX_EPOCH + Duration::from_secs(1 + seconds);
        assert_eq!(show::age(1_000_000_000, now), expect);
    };
    check(0, "0s");
    check(179, "179s");
    check(180, "3m");
    check(3600, "1h0m");
    check(2 * 3600 + 59, "2h0m");
    check(3 * 3600 + 1800, "3h");
    check(47 * 3600, "47h");
    check(48 * 3600, "2d");
    // A clock that was set back.
    assert_eq!(show::age(1_000_000_000, UNIX_EPOCH), "0s");
}

#[test]
fn daemon_that_does_not_answer_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("cri.sock");
    let check = |expect: &str| {
        let error = reachable(&socket).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(expect), "{text}");
        assert!(text.contains(&*socket.to_string_lossy()), "{text}");
    };
    check("no daemon serves at");
    // What a killed daemon leaves.
    drop(UnixListener::bind(&socket).unwrap());
    check("systemctl start cofferdam");
    std::fs::remove_file(&socket).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    reachable(&socket).unwrap();
}
