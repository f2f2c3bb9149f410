//! YAML of CDI files as JSON, and what is refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn check(text: &str, expect: &Value) {
    assert_eq!(&parse(text).unwrap(), expect, "{text}");
}

#[test]
fn document_of_blocks_flows_and_scalars_is_json() {
    check(
        "---\n# a comment\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    \
         - {path: /dev/vfio/8, major: 0x1ff, fileMode: 0666}\n    env: []\nannotations: {}\n",
        &json!({
            "kind": "nvidia.com/gpu",
            "devices": [{
                "name": "0",
                "containerEdits": {
                    "deviceNodes": [{"path": "/dev/vfio/8", "major": 511, "fileMode": 0o666}],
                    "env": [],
                },
            }],
            "annotations": {},
        }),
    );
    check(
        "[true, False, ~, '8', 0o17, -3, 1.5, a b]",
        &json!([true, false, null, "8", 15, -3, "1.5", "a b"]),
    );
    check(
        "options:\n  - ro\n  - nosuid\n",
        &json!({"options": ["ro", "nosuid"]}),
    );
}

#[test]
fn document_that_is_none_of_ours_is_refused_with_its_line() {
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(
        "a: &x 1\nb: *x\n",
        "line 2: an alias can't be in a CDI file",
    );
    check("a: !!python/object 1\n", "line 1: a tag");
    check("a: 1\n---\nb: 2\n", "a second document");
    check("a: 1\na: 2\n", "line 2: a stands twice");
    check("[a, b]: c\n", "a key that is no text");
    check(&"[".repeat(60), "so deep a nesting");
    check("a: [1\nb: 2", "parse YAML");
    check("", "the file is empty");
    check("# nothing\n", "the file is empty");
}

proptest! {
    #[test]
    fn document_of_any_text_never_panics(text in "[-a:\\[\\]{},&*!'\"|> \n0x]{0,80}") {
        drop(parse(&text));
    }
}
