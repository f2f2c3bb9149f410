//! Which ids pass the door.

use super::*;

#[test]
fn id_that_could_be_a_path_is_refused() {
    let check = |text: &str, expect: bool| {
        assert_eq!(ContainerId::parse(text).is_ok(), expect, "{text:?}");
    };
    check("a", true);
    check("pod-1_c.2", true);
    check(&"a".repeat(128), true);
    for bad in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "-a",
        "a b",
        "ä",
        "a\0",
        &"a".repeat(129),
    ] {
        check(bad, false);
    }
    assert!(ExecId::parse("").is_ok());
    assert!(ExecId::parse_new("").is_err());
}
