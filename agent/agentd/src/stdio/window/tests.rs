//! Offsets go in and out of the window as they should.

use super::*;

fn window(acknowledged: u64, held: &[u8]) -> Window {
    let mut window = Window {
        start: acknowledged,
        ..Window::default()
    };
    window.push(held);
    window
}

fn byte_at(offset: u64) -> u8 {
    offset.to_le_bytes()[0] ^ offset.to_le_bytes()[1]
}

#[test]
fn offset_outside_of_the_window_is_not_acknowledged() {
    let check = |offset: u64, expect: bool| {
        let mut window = window(10, b"abcd");
        assert_eq!(window.acknowledge(offset), expect, "{offset}");
        assert_eq!(window.end(), 14);
    };
    check(9, false);
    check(10, true);
    check(14, true);
    check(15, false);
    check(u64::MAX, false);
}

#[test]
fn bytes_from_an_offset_are_those_behind_it() {
    let check = |offset: u64, expect: &[u8]| {
        assert_eq!(window(10, b"abcd").from(offset), expect, "{offset}");
    };
    check(10, b"abcd");
    check(13, b"d");
    check(14, b"");
    check(9, b"");
}

#[test]
fn bytes_come_whole_when_the_buffer_wraps() {
    let mut window = Window::default();
    let (mut pushed, mut taken) = (0u64, 0u64);
    for round in 0..2000 {
        let count = (round * 37 % 900).min(window.room());
        let bytes: Vec<u8> = (pushed..pushed + count as u64).map(byte_at).collect();
        window.push(&bytes);
        pushed += count as u64;
        let some = window.from(taken);
        for (index, byte) in some.iter().enumerate() {
            assert_eq!(*byte, byte_at(taken + index as u64));
        }
        assert_eq!(some.is_empty(), taken == pushed);
        taken += some.len() as u64;
        assert!(window.acknowledge(taken));
    }
    assert!(window.room() <= WINDOW_BYTES);
}

#[test]
fn full_window_has_no_room_until_acknowledged() {
    let mut window = window(0, &vec![0; WINDOW_BYTES]);
    assert_eq!(window.room(), 0);
    assert!(window.acknowledge(100));
    assert_eq!(window.room(), 100);
}
