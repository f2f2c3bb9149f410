//! What a hostile text becomes.

use super::*;

#[test]
fn text_of_a_guest_is_escaped_and_cut() {
    let check = |text: &str, expect: &str| assert_eq!(shown(text), expect);
    check("no such file: /bin/é", "no such file: /bin/é");
    check("a\u{1b}[2Jb\n", "a\\u{1b}[2Jb\\n");
    check(&"é".repeat(MAX_TEXT_BYTES), &"é".repeat(MAX_TEXT_BYTES / 2));
}
