//! Tests of the escaping.

use super::*;

fn check(text: &str, expect: &str) {
    assert_eq!(printable(text), expect);
}

#[test]
fn terminal_controls_are_escaped_and_lines_stay() {
    check("one\r\n\ttwo", "one\n\ttwo");
    check("\u{1b}[2J", "\\u{1b}[2J");
    check("\u{9b}x\u{0}", "\\u{9b}x\\u{0}");
    check("größer", "größer");
}
