//! Tests of the notes: what goes in comes out, and what is damaged is an error.

use cri::v1::{ContainerMetadata, KeyValue};
use serde_json::json;

use super::*;

fn sandbox() -> Sandbox {
    Sandbox {
        config: PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: "web".to_owned(),
                uid: "u".to_owned(),
                namespace: "default".to_owned(),
                attempt: 2,
            }),
            annotations: [("a/b".to_owned(), "ü\n".to_owned())].into(),
            ..PodSandboxConfig::default()
        },
        handler: "cofferdam".to_owned(),
        ips: vec!["10.1.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
        kind: PodKind::Vm,
        huge_pages: vec![HugePages {
            page_bytes: 2 << 20,
            bytes: 8 << 20,
        }],
    }
}

fn created() -> Created {
    Created {
        config: ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                attempt: 1,
            }),
            envs: vec![KeyValue {
                key: "BYTES".to_owned(),
                value: vec![0xff, 0, 0x80],
            }],
            ..ContainerConfig::default()
        },
        image: ImageNames {
            id: "sha256:1".to_owned(),
            name: "busybox".to_owned(),
            reference: "busybox@sha256:2".to_owned(),
        },
        stop_signal: 15,
    }
}

#[test]
fn notes_come_back_as_they_were() {
    let note = sandbox().to_note().unwrap();
    assert_eq!(Sandbox::from_note(&note).unwrap(), sandbox());
    let note = created().to_note().unwrap();
    assert_eq!(Created::from_note(&note).unwrap(), created());
}

#[test]
fn damaged_notes_are_errors() {
    let check = |change: &dyn Fn(&mut Note), expect: &str| {
        let mut note = sandbox().to_note().unwrap();
        change(&mut note);
        let error = Sandbox::from_note(&note).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(&|note| *note = Note::Null, "read the note");
    check(&|note| note["version"] = json!(9), "version 9");
    check(&|note| note["config"] = json!("?"), "base64");
    check(
        &|note| note["config"] = json!("/////w=="),
        "decode the note's message",
    );
    check(&|note| note["config"] = json!(""), "no metadata");
}
