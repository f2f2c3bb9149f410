//! A specification says what was asked for, and the defaults of the field where nothing was.

use model::{
    CapabilityChanges, Device, GroupsOfImage, IdRange, Limits, NamespaceOf, Namespaces, Seccomp,
    Security, Terminal, User, UserNamespace,
};
use serde_json::{Value, json};

use super::*;

fn container() -> ContainerSpec {
    ContainerSpec {
        no_new_privileges: true,
        ..ContainerSpec::new(vec!["sh".into(), "-c".into(), "true".into()])
    }
}

fn json(container: &ContainerSpec) -> Value {
    serde_json::to_value(specification(container, "pod-1").unwrap()).unwrap()
}

/// With the sets of capabilities in order, and without the rules of the default filter, which have tests of their own.
fn sorted(container: &ContainerSpec) -> String {
    let mut spec = json(container);
    let sets = spec["process"]["capabilities"].as_object_mut().unwrap();
    for set in sets.values_mut() {
        set.as_array_mut()
            .unwrap()
            .sort_by_key(|name| name.as_str().map(str::to_owned));
    }
    if let Some(rules) = spec.pointer_mut("/linux/seccomp/syscalls") {
        *rules = json!("the rules");
    }
    serde_json::to_string_pretty(&spec).unwrap()
}

/// As kubelet asks for a container that says nothing about security.
fn of_kubernetes() -> ContainerSpec {
    ContainerSpec {
        user: User {
            of_image: "www-data".into(),
            uid: Some(1000),
            gid: Some(2000),
            supplemental_groups: vec![3000],
            groups: GroupsOfImage::Strict,
            ..User::default()
        },
        limits: Limits {
            memory_bytes: Some(64 << 20),
            cpu_shares: Some(102),
            ..Limits::default()
        },
        namespaces: Namespaces {
            ipc: NamespaceOf::Pod,
            uts: NamespaceOf::Pod,
            ..Namespaces::default()
        },
        oom_score_adj: Some(999),
        ..container()
    }
}

#[test]
fn whole_specifications_are_as_they_were() {
    insta::assert_snapshot!("plain", sorted(&container()));
    insta::assert_snapshot!("kubernetes", sorted(&of_kubernetes()));
    let privileged = ContainerSpec {
        security: Security {
            privileged: true,
            masked_paths: Some(vec!["/ignored".into()]),
            seccomp: Seccomp::Localhost("ignored".into()),
            ..Security::default()
        },
        ..of_kubernetes()
    };
    insta::assert_snapshot!("privileged", sorted(&privileged));
    let range = IdRange {
        container: 0,
        guest: 1000,
        length: 100_000,
    };
    let mut user = of_kubernetes();
    user.namespaces.user = Some(UserNamespace {
        uids: range,
        gids: range,
    });
    user.security.capabilities = CapabilityChanges {
        add: vec!["MKNOD".into()],
        drop: vec!["ALL".into()],
        add_ambient: vec!["NET_BIND_SERVICE".into()],
    };
    user.security.devices = vec![Device {
        host_path: "/dev/fuse".into(),
        container_path: "/dev/fuse".into(),
        permissions: "rw".into(),
    }];
    insta::assert_snapshot!("user_namespace", sorted(&user));
}

#[test]
fn lists_of_paths_replace_the_default() {
    let check = |given: Option<Vec<String>>, count: usize| {
        let mut container = container();
        container.security.masked_paths = given.clone();
        container.security.read_only_paths = given;
        let spec = json(&container);
        for field in ["maskedPaths", "readonlyPaths"] {
            let paths = spec["linux"][field].as_array().unwrap();
            match count {
                0 | 1 => assert_eq!(paths.len(), count, "{field}"),
                _ => assert!(
                    paths.contains(&json!("/proc/sys")) || paths.contains(&json!("/proc/kcore"))
                ),
            }
        }
    };
    check(None, 2);
    check(Some(Vec::new()), 0);
    check(Some(vec!["/secret".into()]), 1);
    let mut container = container();
    container.security.masked_paths = Some(vec!["secret".into()]);
    let error = check_container(&container).unwrap_err().to_string();
    assert_eq!(error, "masked_paths has \"secret\", which is not absolute");
}

#[test]
fn seccomp_is_as_asked_for() {
    let check = |seccomp: Seccomp, expect: Value| {
        let mut container = container();
        container.security.seccomp = seccomp;
        assert_eq!(
            json(&container)["linux"]["seccomp"]["defaultAction"],
            expect
        );
    };
    check(Seccomp::RuntimeDefault, json!("SCMP_ACT_ERRNO"));
    check(Seccomp::Unconfined, Value::Null);
    let profile = r#"{"defaultAction":"SCMP_ACT_LOG"}"#.to_owned();
    check(Seccomp::Localhost(profile), json!("SCMP_ACT_LOG"));
    let mut container = container();
    container.security.seccomp = Seccomp::Localhost("{}".into());
    let error = check_container(&container).unwrap_err();
    assert_eq!(error.to_string(), "read the seccomp profile");
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
fn exec_is_the_containers_own_process_with_another_command() {
    let plan = ExecPlan {
        args: vec!["ls".into()],
        stdin: false,
        terminal: None,
    };
    let container = of_kubernetes();
    let exec = serde_json::to_value(exec_process(&container, &plan).unwrap()).unwrap();
    let own = json(&container)["process"].clone();
    assert_eq!(exec["args"], json!(["ls"]));
    for field in ["user", "noNewPrivileges", "oomScoreAdj", "rlimits", "cwd"] {
        assert_eq!(exec[field], own[field], "{field}");
    }
}

#[test]
fn exec_with_a_terminal_has_the_clients_kind_of_terminal() {
    let mut container = container();
    container.env = vec!["TERM=dumb".into(), "LANG=C".into()];
    let check = |terminal: Option<Terminal>, expect: &str| {
        let plan = ExecPlan {
            args: vec!["ls".into()],
            stdin: true,
            terminal,
        };
        let exec = serde_json::to_value(exec_process(&container, &plan).unwrap()).unwrap();
        let all = exec["env"].as_array().unwrap();
        let terms: Vec<_> = all
            .iter()
            .filter_map(Value::as_str)
            .filter(|entry| entry.starts_with("TERM="))
            .collect();
        assert_eq!(terms, [expect]);
        assert_eq!(exec["terminal"], json!(terminal.is_some()));
        assert!(all.contains(&json!("LANG=C")));
    };
    check(None, "TERM=dumb");
    check(Some(Terminal { size: None }), "TERM=xterm");
}
