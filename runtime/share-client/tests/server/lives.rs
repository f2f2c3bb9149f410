//! The server's start, its jail, and all the ways in which it ends.

use std::{
    fs,
    io::Read,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use share_client::{Access, AddError, LaunchError, ProcessError, Server, ServerPlan, ServerRecord};

use crate::stage::{SOON, Scene, plan, soon};

#[test]
fn jail_has_nothing_but_the_tree() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let pid = scene.server.record().pid;
    let proc = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let status = proc("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(
        (field("NSpid:"), field("NoNewPrivs:"), field("Seccomp:")),
        ("1".into(), "1".into(), "2".into())
    );
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETGID, SETUID, SETFCAP.
    let kept = (1_u64 << 0) | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 31;
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), kept, "{set}");
    }
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(
            status.contains("\nSeccomp:\t2\n"),
            "a thread without a filter"
        );
    }
    for namespace in ["mnt", "net", "ipc", "uts", "pid", "cgroup"] {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        let ours = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        assert_ne!(theirs, ours, "{namespace}");
    }
    let mounts: Vec<String> = proc("mountinfo").lines().map(str::to_owned).collect();
    assert_eq!(mounts.len(), 2, "{mounts:?}");
    assert!(mounts[0].contains(" / / ro,"), "{mounts:?}");
    let root = format!("/proc/{pid}/root");
    let mut entries: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    entries.sort();
    assert_eq!(entries, ["proc", "shares"]);
    scene.share(Access::Writable);
    let shared = proc("mountinfo");
    let share = shared
        .lines()
        .find(|line| line.contains("/shares/folder-0"))
        .unwrap();
    for option in ["nosuid", "nodev", "noexec", "nosymfollow"] {
        assert!(share.contains(option), "{share}");
    }
}

#[test]
fn server_ends_when_the_socket_does() {
    let Some(plan) = plan() else { return };
    let (mut server, socket) = Server::launch(&plan).unwrap();
    assert!(!server.is_gone());
    drop(socket);
    soon(|| server.is_gone());
    let host = tempfile::tempdir().unwrap();
    let error = server.add(host.path(), Access::Writable).unwrap_err();
    assert!(matches!(error, AddError::Gone { .. }), "{error}");
    server.remove("folder-0").unwrap();
    let pid = server.record().pid;
    server.end(SOON).unwrap();
    server.end(SOON).unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn server_that_is_ended_leaves_no_process_and_closes_the_socket() {
    let Some(plan) = plan() else { return };
    let (mut server, socket) = Server::launch(&plan).unwrap();
    let host = tempfile::tempdir().unwrap();
    server.add(host.path(), Access::Writable).unwrap();
    let pid = server.record().pid;
    server.end(SOON).unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let end = rustix::net::recv(&socket, &mut [0; 8], rustix::net::RecvFlags::empty());
    assert!(matches!(
        end,
        Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET)
    ));
    // What was shared is not busy.
    host.close().unwrap();
}

#[test]
fn server_is_attached_to_by_its_record() {
    let Some(plan) = plan() else { return };
    let (mut first, _socket) = Server::launch(&plan).unwrap();
    let host = tempfile::tempdir().unwrap();
    first.add(host.path(), Access::Writable).unwrap();
    let json = serde_json::to_string(&first.record()).unwrap();
    let record: ServerRecord = serde_json::from_str(&json).unwrap();
    let mut second = Server::attach(record.clone()).unwrap();
    assert_eq!(second.record(), first.record());
    assert_eq!(
        second.add(host.path(), Access::ReadOnly).unwrap(),
        "folder-1"
    );
    // Another process with the same id is not it.
    let mut other = record.clone();
    other.started += 1;
    let error = Server::attach(other).unwrap_err();
    assert!(matches!(error, ProcessError::Gone { .. }), "{error}");
    second.end(SOON).unwrap();
    let error = Server::attach(record).unwrap_err();
    assert!(matches!(error, ProcessError::Gone { .. }), "{error}");
    first.end(SOON).unwrap();
}

/// Launches a script in the server's place; why that failed.
fn check_launch(script: &str, deadline: Duration) -> Option<LaunchError> {
    plan()?;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("server");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Server::launch(&ServerPlan {
        program,
        cgroup: None,
        deadline,
    })
    .unwrap_err();
    let left = fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .any(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let path = folder.path().to_str().unwrap().as_bytes();
            line.windows(path.len()).any(|part| part == path)
        });
    assert!(!left, "the process is still there");
    Some(error)
}

#[test]
fn launch_that_fails_says_why_and_leaves_no_process() {
    if let Some(error) = check_launch("echo no such luck >&2; exit 1", SOON) {
        assert_eq!(
            error.to_string(),
            "the share server did not start: no such luck"
        );
    }
    if let Some(error) = check_launch("exit 0", SOON) {
        assert!(
            error.to_string().ends_with("it ended without a word"),
            "{error}"
        );
    }
    if let Some(error) = check_launch("while :; do echo much to say; done", SOON) {
        assert!(matches!(error, LaunchError::Refused { .. }), "{error}");
    }
    if let Some(error) = check_launch("sleep 1000", Duration::from_millis(300)) {
        assert!(matches!(error, LaunchError::Late { .. }), "{error}");
    }
    if plan().is_some() {
        let program = "/nothing/here".into();
        let deadline = SOON;
        let error = Server::launch(&ServerPlan {
            program,
            cgroup: None,
            deadline,
        })
        .unwrap_err();
        assert!(matches!(error, LaunchError::Start { .. }), "{error}");
    }
}

#[test]
fn program_that_is_started_by_hand_says_who_starts_it() {
    let Some(plan) = plan() else { return };
    let run = |arguments: &[&str], stdin: Stdio| {
        let output = Command::new(&plan.program)
            .args(arguments)
            .stdin(stdin)
            .output()
            .unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        output.stderr.as_slice().read_to_string(&mut text).unwrap();
        (output.status.code(), text)
    };
    let (status, text) = run(&["8"], Stdio::null());
    assert!(
        status == Some(2) && text.contains("is started by cofferdam"),
        "{text}"
    );
    for argument in ["--help", "--version"] {
        let (status, text) = run(&[argument], Stdio::null());
        assert!(
            status == Some(0) && text.starts_with("cofferdam-share"),
            "{text}"
        );
    }
    let socket = || {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap()
    };
    for number in ["0", "1025", "many"] {
        let (_ours, theirs): (OwnedFd, OwnedFd) = socket();
        let (status, text) = run(&[number], theirs.into());
        assert!(
            status == Some(2) && text.contains("from 1 to 1024"),
            "{text}"
        );
    }
    let (_ours, theirs) = socket();
    let (status, text) = run(&["8"], theirs.into());
    assert_eq!(status, Some(1));
    assert!(
        text.contains("must be the first process of a PID namespace"),
        "{text}"
    );
}
