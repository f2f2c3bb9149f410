//! The program from outside, as nobody but cofferdam should start it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    os::fd::OwnedFd,
    process::{Command, Output, Stdio},
};

use monitor::{Reply, Request};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cofferdam-vmm"))
}

fn check_complains(output: &Output, expect: &str) {
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(expect), "{text}");
}

#[test]
fn program_without_a_launch_socket_says_who_starts_it() {
    let output = program().stdin(Stdio::null()).output().unwrap();
    check_complains(&output, "cofferdam-vmm is started by cofferdam");
}

#[test]
fn program_with_arguments_refuses_them() {
    let output = program()
        .arg("--no-jail")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    check_complains(&output, "takes no arguments");
}

#[test]
fn program_tells_help_and_version() {
    for (argument, expect) in [
        ("--help", "started by cofferdam"),
        ("--version", "cofferdam-vmm 0."),
    ] {
        let output = program().arg(argument).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains(expect));
    }
}

/// Starts the program with what `say` puts into its launch socket, and gives its answer.
fn answer(say: impl FnOnce(&OwnedFd)) -> String {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    say(&ours);
    let mut child = program().stdin(Stdio::from(theirs)).spawn().unwrap();
    let reply = monitor::receive::<Reply>(&ours).unwrap().unwrap().message;
    assert_eq!(child.wait().unwrap().code(), Some(1));
    match reply {
        Reply::Refused { reason } => reason,
        other => format!("{other:?}"),
    }
}

#[test]
fn garbage_on_the_launch_socket_is_refused() {
    let garbage = answer(|socket| {
        rustix::net::send(socket, b"garbage", rustix::net::SendFlags::empty()).unwrap();
    });
    assert!(
        garbage.starts_with("read the launch message: the message is not understood"),
        "{garbage}"
    );
    let other = answer(|socket| monitor::send(socket, &Request::Status, &[]).unwrap());
    assert!(other.contains("not understood"), "{other}");
}

#[test]
fn launch_outside_of_a_pid_namespace_is_refused() {
    // What comes before the jail: a message that is complete. Its descriptors need not be what they are called.
    let file = std::fs::File::open("/dev/null").unwrap();
    let json = r#"{"version":1,"name":"x","started_ns":0,"identity":{"uid":1,"gid":1},
        "lifetime":"with-launcher","processors":{"boot":1,"max":1},"memory_bytes":67108864,"kvm":0,"kernel":1,
        "guest_image":null,"control_listener":2,"vsock":{"listener":3,"guest_cid":3},"console":"off"}"#;
    let launch: monitor::Launch = serde_json::from_str(json).unwrap();
    use std::os::fd::AsFd;
    let fds = [file.as_fd(); 4];
    let reason = answer(|socket| monitor::send(socket, &launch, &fds).unwrap());
    assert!(
        reason.contains("must be the first process of a PID namespace"),
        "{reason}"
    );
}
