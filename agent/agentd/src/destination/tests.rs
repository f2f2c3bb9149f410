//! Paths that are places in a container, and others.

use super::*;

#[test]
fn destination_is_absolute_below_the_root() {
    let check = |path: &str, good: bool| {
        let parsed = parse(path, "a mount");
        assert_eq!(parsed.is_ok(), good, "{path:?}");
        if let Err(fault) = parsed {
            let expect = format!("a mount can't be at {path:?}: ");
            assert!(fault.message.starts_with(&expect), "{}", fault.message);
        }
    };
    check("/data", true);
    check("/data//a/./b..", true);
    for wrong in ["", "/", "//", "/.", "data", "./data", "/a/../b", "/.."] {
        check(wrong, false);
    }
}
