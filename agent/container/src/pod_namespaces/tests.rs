//! What of a pod's namespaces a specification gets, and what is refused.

use crate::{failure::FailureKind, user_namespace::IdMapping};

use super::*;

fn namespaces(pid: bool, user: bool) -> PodNamespaces {
    let (socket, _) = UnixStream::pair().unwrap();
    let range = |guest| {
        vec![IdMapping {
            container: 0,
            guest,
            length: 10,
        }]
    };
    let mappings = IdMappings::checked(range(70), range(80)).unwrap();
    PodNamespaces {
        holder: 7,
        pid,
        user: user.then(|| UserNamespace {
            path: of_process(7, "user"),
            mappings,
        }),
        _socket: socket,
    }
}

fn spec(linux: &str) -> Spec {
    serde_json::from_str(&format!(r#"{{"ociVersion":"1.2.0","linux":{linux}}}"#)).unwrap()
}

const PLAIN: &str = r#"{"namespaces":[{"type":"mount"},{"type":"pid"}]}"#;
const MAPPED: &str = r#"{"namespaces":[{"type":"mount"},{"type":"user"},{"type":"uts"}],
    "uidMappings":[{"containerID":0,"hostID":70,"size":10}],"gidMappings":[{"containerID":0,"hostID":80,"size":10}]}"#;

fn listed(spec: &Spec) -> Vec<String> {
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.uid_mappings().is_none() && linux.gid_mappings().is_none());
    let namespaces = linux.namespaces().iter().flatten();
    let text = namespaces.map(|one| match one.path() {
        Some(path) => format!("{} {}", one.typ(), path.display()),
        None => one.typ().to_string(),
    });
    text.collect()
}

#[test]
fn specification_joins_what_the_pod_has() {
    let check = |pod: &PodNamespaces, linux: &str, pid: bool, expect: &[&str]| {
        let mut spec = spec(linux);
        pod.join(&mut spec, pid).unwrap();
        assert_eq!(listed(&spec), expect);
    };
    check(&namespaces(true, false), PLAIN, false, &["mnt", "pid"]);
    check(
        &namespaces(true, false),
        PLAIN,
        true,
        &["mnt", "pid /proc/7/ns/pid"],
    );
    // The host name is the container's own, IPC is the pod's.
    check(
        &namespaces(true, true),
        MAPPED,
        true,
        &[
            "mnt",
            "uts",
            "pid /proc/7/ns/pid",
            "user /proc/7/ns/user",
            "ipc /proc/7/ns/ipc",
        ],
    );
}

#[test]
fn specification_that_asks_for_what_is_not_there_is_refused() {
    let check = |result: Result<(), Failure>, expect: &str| {
        let failure = result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Precondition);
        assert!(failure.message.contains(expect), "{failure}");
    };
    let no_pid = "the pod was started without share_pid_namespace";
    check(join_none(&mut spec(PLAIN), true), no_pid);
    check(
        namespaces(false, true).join(&mut spec(MAPPED), true),
        no_pid,
    );
    let no_user = "the pod was started without one";
    check(join_none(&mut spec(MAPPED), false), no_user);
    check(
        namespaces(true, false).join(&mut spec(MAPPED), false),
        no_user,
    );
    let plain = namespaces(false, true).join(&mut spec(PLAIN), false);
    check(plain, "the specification lists none");
    let other = MAPPED.replace("70", "71");
    let other = namespaces(false, true).join(&mut spec(&other), false);
    check(other, "are not those of the pod's user namespace");
}
