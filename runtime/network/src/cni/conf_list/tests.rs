//! Configurations that are taken, and those that are refused with a reason.

use std::error::Error;

use super::*;

fn list(text: &str) -> Result<ConfList, ConfListError> {
    ConfList::parse(text.as_bytes(), Form::List)
}

#[test]
fn list_is_read_with_its_plugins_in_order() {
    let list = list(
        r#"{"cniVersion": "1.0.0", "name": "k8s-pod-network", "disableCheck": "true", "plugins": [
            {"type": "bridge", "bridge": "cni0"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}"#,
    )
    .unwrap();
    assert_eq!(list.name, "k8s-pod-network");
    assert_eq!(list.version, CniVersion::V1_0_0);
    assert!(list.disable_check);
    assert!(!list.disable_gc);
    let programs: Vec<&str> = list.plugins.iter().map(|p| p.program.as_str()).collect();
    assert_eq!(programs, ["bridge", "portmap"]);
    assert_eq!(list.plugins[0].conf["bridge"], "cni0");
}

#[test]
fn single_plugin_is_wrapped() {
    let text = br#"{"cniVersion": "0.3.1", "name": "net", "type": "bridge", "ipam": {"type": "host-local"}}"#;
    let list = ConfList::parse(text, Form::Single).unwrap();
    assert_eq!(list.plugins.len(), 1);
    assert_eq!(list.plugins[0].conf["ipam"]["type"], "host-local");
}

#[test]
fn version_is_the_highest_that_both_speak() {
    let check = |versions: &str, expect| {
        let text = format!(r#"{{"name": "n", {versions}, "plugins": [{{"type": "a"}}]}}"#);
        assert_eq!(list(&text).unwrap().version, expect, "{versions}");
    };
    check(r#""cniVersion": "0.4.0""#, CniVersion::V0_4_0);
    let offered = r#""cniVersion": "0.4.0", "cniVersions": ["1.1.0", "0.4.0", "1.0.0", "9.0.0"]"#;
    check(offered, CniVersion::V1_1_0);
    let strangers = r#""cniVersion": "0.3.0", "cniVersions": ["9.0.0"]"#;
    check(strangers, CniVersion::V0_3_0);
}

#[test]
fn list_that_cannot_be_used_is_refused_with_the_reason() {
    let check = |text: &str, reason: &str| {
        let error = list(text).unwrap_err();
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let all = format!("{error}: {cause}");
        assert!(all.contains(reason), "{text}: {all}");
    };
    check("{", "read it as JSON");
    check("[]", "read it as JSON");
    check(
        r#"{"cniVersion": "1.0.0", "name": "n"}"#,
        "plugins is missing",
    );
    check(
        r#"{"cniVersion": "1.0.0", "name": "n", "plugins": []}"#,
        "plugins is empty",
    );
    check(
        r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [1]}"#,
        "no object",
    );
    check(
        r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{}]}"#,
        "type is missing",
    );
    let escape = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "../sh"}]}"#;
    check(escape, "is no file's name");
    check(
        r#"{"cniVersion": "1.0.0", "plugins": [{"type": "a"}]}"#,
        "name is missing",
    );
    let name = r#"{"cniVersion": "1.0.0", "name": "../n", "plugins": [{"type": "a"}]}"#;
    check(name, "beginning with a letter");
    check(
        r#"{"name": "n", "plugins": [{"type": "a"}]}"#,
        "cniVersion is missing",
    );
    let old = r#"{"cniVersion": "0.2.0", "name": "n", "plugins": [{"type": "a"}]}"#;
    check(old, "use one from 0.3.0 to 1.1.0");
    let switch =
        r#"{"cniVersion": "1.0.0", "name": "n", "disableGC": 1, "plugins": [{"type": "a"}]}"#;
    check(switch, "disableGC is neither");
}

#[test]
fn list_in_a_file_for_one_plugin_is_told_its_name() {
    let text = br#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "a"}]}"#;
    let error = ConfList::parse(text, Form::Single).unwrap_err();
    assert!(error.to_string().contains("*.conflist"), "{error}");
}
