//! What is refused at the door, and what becomes of the rest.

use super::*;
use crate::failure::FailureKind;

const PROCESS: &str = r#"{"user":{"uid":0,"gid":0},"args":["/bin/true"],"cwd":"/"}"#;
const LINUX: &str = r#"{"namespaces":[{"type":"mount"}]}"#;

fn spec(process: &str, linux: &str) -> String {
    format!(r#"{{"ociVersion":"1.2.0","process":{process},"linux":{linux}}}"#)
}

#[test]
fn specification_beyond_this_agent_is_refused_with_the_reason() {
    let check = |json: &str, expect: &str| {
        let failure = parse(json.as_bytes()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(failure.message.starts_with(expect), "{failure}");
    };
    check("{", "oci_spec is not an OCI specification: ");
    check(
        r#"{"ociVersion":"1.2.0"}"#,
        "the specification has no process",
    );
    check(
        &spec(PROCESS, "{}"),
        "linux.namespaces must have a mount namespace",
    );
    let no_command = r#"{"user":{"uid":0,"gid":0},"args":[],"cwd":"/"}"#;
    check(&spec(no_command, LINUX), "process.args names no command");
    let relative = r#"{"user":{"uid":0,"gid":0},"args":["x"],"cwd":"tmp"}"#;
    check(
        &spec(relative, LINUX),
        "process.cwd is not an absolute path",
    );
    let hooks = format!(
        r#"{{"ociVersion":"1.2.0","process":{PROCESS},"linux":{LINUX},"hooks":{{"prestart":[{{"path":"/x"}}]}}}}"#
    );
    check(&hooks, "hooks is not supported");
    let notify = r#"{"namespaces":[{"type":"mount"}],"seccomp":{"defaultAction":"SCMP_ACT_ALLOW",
        "syscalls":[{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}]}}"#;
    check(&spec(PROCESS, notify), "SCMP_ACT_NOTIFY is not supported");
    let annotated = |name: &str, value: &str| {
        format!(
            r#"{{"ociVersion":"1.2.0","process":{PROCESS},"linux":{LINUX},"annotations":{{"{name}":"{value}"}}}}"#
        )
    };
    check(
        &annotated("cofferdam.agent.new", "x"),
        "the annotation \"cofferdam.agent.new\" is not known",
    );
    check(
        &annotated("cofferdam.agent.groups", "some"),
        "the annotation \"cofferdam.agent.groups\" can't be \"some\"",
    );
    check(
        &annotated("cofferdam.agent.devices", "few"),
        "the annotation \"cofferdam.agent.devices\" can't be \"few\"",
    );
    assert!(parse(annotated("others.own", "x").as_bytes()).is_ok());
}

#[test]
fn unnamed_capability_sets_become_empty() {
    let process = r#"{"user":{"uid":0,"gid":0},"args":["x"],"cwd":"/",
        "capabilities":{"bounding":["CAP_KILL"]},"noNewPrivileges":false}"#;
    let process = parse_process(process.as_bytes()).unwrap();
    let (process, last) = prepare_process(process, OfContainer::default(), true);
    assert_eq!(process.capabilities(), &None);
    assert_eq!(process.no_new_privileges(), None);
    assert_eq!(process.terminal(), Some(true));
    assert_eq!(last.capabilities.bounding().as_ref().unwrap().len(), 1);
    for set in [last.capabilities.effective(), last.capabilities.ambient()] {
        assert_eq!(set, &Some(Capabilities::new()));
    }
}

#[test]
fn limits_and_seccomp_are_not_left_to_libcontainer() {
    let linux = r#"{"namespaces":[{"type":"mount"}],"cgroupsPath":"/host/says",
        "resources":{"pids":{"limit":1}},"readonlyPaths":["/x"],"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}}"#;
    let spec = parse(spec(PROCESS, linux).as_bytes()).unwrap();
    let root = (PathBuf::from("/r"), true);
    let order = Order {
        container_id: "c".into(),
        folder: "/state/c".into(),
        cgroup: "/cofferdam/c".into(),
        terminal: None,
        work: crate::message::Work::Nothing,
    };
    let (spec, last) = prepare(spec, root, (SettledUser::default(), None), &order).unwrap();
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!((linux.resources(), linux.seccomp()), (&None, &None));
    assert_eq!(
        linux.cgroups_path().as_deref(),
        Some(std::path::Path::new("/cofferdam/c"))
    );
    assert!(last.seccomp.is_some());
    assert_eq!(linux.readonly_paths(), &None);
    assert_eq!(last.read_only_paths, ["/x"]);
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
}
