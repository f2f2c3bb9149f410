//! Tests of sparse maps: the forms of PAX, and what is refused.

use super::{MapReader, Piece, checked, decimal, pieces_of_list};

fn piece(offset: u64, length: u64) -> Piece {
    Piece { offset, length }
}

#[test]
fn list_of_pieces_parses_or_is_refused() {
    assert_eq!(
        pieces_of_list(b"0,5,10,1").unwrap(),
        [piece(0, 5), piece(10, 1)]
    );
    assert!(pieces_of_list(b"").unwrap().is_empty());
    for bad in [&b"0"[..], b"0,", b"0,x", b"-1,2", b"0,1,2"] {
        assert!(pieces_of_list(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn map_in_data_is_read_over_blocks() {
    let mut map = MapReader::default();
    assert!(!map.take(b"2\n0\n5\n1").unwrap());
    assert!(map.take(b"0\n1\n\0\0\0").unwrap());
    assert_eq!(map.pieces().unwrap(), [piece(0, 5), piece(10, 1)]);
    assert!(MapReader::default().take(b"0\n").unwrap());
    for bad in [&b"x\n"[..], b"\n", b"99999999999999999999\n", b"9999999\n"] {
        assert!(
            MapReader::default().take(bad).is_err(),
            "{}",
            bad.escape_ascii()
        );
    }
}

#[test]
fn pieces_are_checked_against_the_file() {
    assert_eq!(
        checked(vec![piece(0, 2), piece(9, 0)], 9, 2).unwrap(),
        [piece(0, 2)]
    );
    assert!(
        checked(vec![piece(5, 5), piece(0, 2)], 20, 7).is_err(),
        "out of order"
    );
    assert!(
        checked(vec![piece(0, 5), piece(4, 2)], 20, 7).is_err(),
        "overlap"
    );
    assert!(checked(vec![piece(5, 5)], 9, 5).is_err(), "behind the end");
    assert!(
        checked(vec![piece(0, 5)], 9, 4).is_err(),
        "more than stored"
    );
    assert!(
        checked(vec![piece(u64::MAX, 5)], u64::MAX, 5).is_err(),
        "overflow"
    );
    assert_eq!(decimal(b"+1"), None);
}
