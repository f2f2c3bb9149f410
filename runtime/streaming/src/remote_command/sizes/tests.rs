//! Sizes of windows, in any pieces.

use super::{Reader, SizeError};
use crate::limits;

fn check(pieces: &[&str], expect: &[(u16, u16)]) {
    let mut reader = Reader::default();
    let mut seen = Vec::new();
    for piece in pieces {
        let sizes = reader.sizes(piece.as_bytes()).unwrap();
        seen.extend(sizes.iter().map(|size| (size.columns, size.rows)));
    }
    assert_eq!(seen, expect, "{pieces:?}");
}

#[test]
fn sizes_are_read_in_any_pieces() {
    check(&["{\"Width\":80,\"Height\":24}\n"], &[(80, 24)]);
    check(
        &["{\"Width\":80,\"Height\":24}{\"Width\":1,\"Height\":2}\n"],
        &[(80, 24), (1, 2)],
    );
    check(
        &["{\"Wid", "th\":80,\"Hei", "ght\":24", "}", "\n"],
        &[(80, 24)],
    );
    check(
        &[
            "{\"Height\":24,\"Width\":80}",
            "\n",
            "\n{\"Wi",
            "dth\":3,\"Height\":4}",
        ],
        &[(80, 24), (3, 4)],
    );
    check(&["{\"width\":80,\"height\":24}"], &[(80, 24)]);
    check(&["", "\n"], &[]);
}

#[test]
fn size_of_no_terminal_is_left_out() {
    let zero = "{\"Width\":0,\"Height\":0}\n";
    check(
        &[
            zero,
            "{\"Width\":80,\"Height\":0}\n{\"Width\":80,\"Height\":24}",
        ],
        &[(80, 24)],
    );
}

#[test]
fn what_is_no_size_is_an_error() {
    for wrong in [
        "hello",
        "{\"Width\":70000,\"Height\":1}",
        "{}",
        "[]",
        "{\"Width\":-1,\"Height\":1}",
    ] {
        let error = Reader::default().sizes(wrong.as_bytes()).unwrap_err();
        assert!(matches!(error, SizeError::Malformed(_)), "{wrong}: {error}");
    }
}

#[test]
fn size_that_does_not_end_is_not_kept() {
    let mut reader = Reader::default();
    let mut kept = 0;
    let error = loop {
        match reader.sizes(&[b' '; 1000]) {
            Ok(_) if kept == 0 => drop(reader.sizes(b"{")),
            Ok(_) => {}
            Err(error) => break error,
        }
        kept += 1000;
        assert!(kept <= 2 * limits::SIZE_BYTES);
    };
    assert!(matches!(error, SizeError::TooLong), "{error}");
}
