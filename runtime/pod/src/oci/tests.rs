//! A specification says what was asked for, and the defaults of the field where nothing was.

use model::{Limits, Terminal};

use super::*;

fn container() -> ContainerSpec {
    ContainerSpec {
        args: vec!["sh".into(), "-c".into(), "true".into()],
        env: Vec::new(),
        cwd: "/".into(),
        user: String::new(),
        stdin: false,
        terminal: None,
        limits: Limits::default(),
        read_only_root: false,
        no_new_privileges: true,
    }
}

fn json(container: &ContainerSpec) -> serde_json::Value {
    serde_json::to_value(specification(container, "pod-1").unwrap()).unwrap()
}

#[test]
fn plain_container_gets_the_defaults() {
    let spec = json(&container());
    assert_eq!(
        spec["process"]["args"],
        serde_json::json!(["sh", "-c", "true"])
    );
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert_eq!(
        spec["process"]["capabilities"]["bounding"]
            .as_array()
            .unwrap()
            .len(),
        13
    );
    assert_eq!(
        spec["process"]["capabilities"]["ambient"],
        serde_json::json!([])
    );
    assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(spec["linux"]["resources"], serde_json::json!({}));
    let kinds: Vec<_> = spec["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "cgroup"]);
}

#[test]
fn limits_asked_for_are_in_the_resources() {
    let limits = Limits {
        memory_bytes: Some(64 << 20),
        pids: Some(10),
    };
    let spec = json(&ContainerSpec {
        limits,
        ..container()
    });
    assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 64 << 20);
    assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 10);
}

#[test]
fn environment_last_of_a_name_wins() {
    let check = |env: &[&str], terminal: bool, expect: &[&str]| {
        let terminal = terminal.then_some(Terminal { size: None });
        let env = env.iter().map(|entry| (*entry).to_owned()).collect();
        let container = ContainerSpec {
            env,
            terminal,
            ..container()
        };
        assert_eq!(environment(&container, "p"), expect);
    };
    check(&[], false, &[DEFAULT_PATH, "HOSTNAME=p"]);
    check(&[], true, &[DEFAULT_PATH, "HOSTNAME=p", "TERM=xterm"]);
    check(
        &["PATH=/x", "A=1", "A=2=3"],
        false,
        &["HOSTNAME=p", "PATH=/x", "A=2=3"],
    );
}

#[test]
fn user_of_the_image_travels_as_text() {
    let spec = json(&ContainerSpec {
        user: "nobody:nogroup".into(),
        ..container()
    });
    assert_eq!(spec["process"]["user"]["username"], "nobody:nogroup");
}
