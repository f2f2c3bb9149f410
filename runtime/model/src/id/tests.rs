//! What may be an id.

use super::PodId;

#[test]
fn id_from_text_takes_labels_only() {
    let check = |text: &str, good: bool| {
        assert_eq!(text.parse::<PodId>().is_ok(), good, "{text:?}");
    };
    check("a", true);
    check("pod-1", true);
    check(&"x".repeat(63), true);
    check("", false);
    check("-a", false);
    check("a-", false);
    check("A", false);
    check("a/b", false);
    check("..", false);
    check("a\0b", false);
    check("é", false);
    check(&"x".repeat(64), false);
}

#[test]
fn bad_id_is_shown_escaped() {
    let error = "a\n\u{1b}".parse::<PodId>().unwrap_err().to_string();
    assert!(
        error.starts_with(r#""a\n\u{1b}" can't be an id"#),
        "{error}"
    );
}
