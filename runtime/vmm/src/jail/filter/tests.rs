//! Tests of filters in the kernel. A forbidden call kills a whole process, so each runs in a process of its own: this test program
//! again, told by its environment what to try.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use super::*;
use crate::jail::filters::Kind;

/// Names what the child of a test tries.
const ATTEMPT: &str = "COFFERDAM_FILTER_ATTEMPT";

const SIGSYS: i32 = 31;

/// Runs the attempt in a thread under the filter of a kind, in a process of its own.
fn attempt(name: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "jail::filter::tests::attempts_of_the_child",
            "--nocapture",
        ])
        .env(ATTEMPT, name)
        .status()
        .unwrap()
}

/// Not a test by itself: what [`attempt`] runs.
#[test]
fn attempts_of_the_child() {
    let Ok(name) = std::env::var(ATTEMPT) else {
        return;
    };
    let kind = if name == "thread" {
        Kind::Control
    } else {
        Kind::Devices
    };
    let program = kind.program().unwrap();
    let without_clone3 = without_clone3().unwrap();
    let attempted = std::thread::spawn(move || {
        if name == "thread" {
            install(&without_clone3).unwrap();
        }
        install(&program).unwrap();
        match name.as_str() {
            "nothing" => (),
            "open" => drop(std::fs::File::open("/proc/self/status")),
            "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
            "execute" => drop(Command::new("/bin/true").status()),
            "signal" => {
                rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::TERM,
                )
                .unwrap();
            }
            "thread" => {
                let disk = crate::threads::start("hot", Kind::Disk, || ());
                disk.unwrap();
            }
            other => panic!("unknown attempt {other}"),
        }
    });
    attempted.join().unwrap();
}

fn check_kills(name: &str) {
    let status = attempt(name);
    assert_eq!(status.signal(), Some(SIGSYS), "{name}: {status}");
}

#[test]
fn forbidden_call_kills_the_process() {
    for name in ["open", "socket", "execute", "signal"] {
        check_kills(name);
    }
}

#[test]
fn allowed_calls_pass() {
    assert!(attempt("nothing").success());
    assert!(attempt("thread").success());
}

#[test]
fn empty_argument_list_allows_any_arguments() {
    const ONLY: &[Rule] = &[Rule {
        syscall: libc::SYS_read,
        arguments: &[],
        reason: "a test reads",
    }];
    const CHECKED: &[Rule] = &[Rule {
        syscall: libc::SYS_read,
        arguments: &[Argument::Is(0, 1)],
        reason: "a test reads from one descriptor",
    }];
    // A rule without arguments beside one with them makes the call free, whichever comes first.
    let both = compile(&[CHECKED, ONLY]).unwrap();
    assert_eq!(both, compile(&[ONLY]).unwrap());
    assert_ne!(both, compile(&[CHECKED]).unwrap());
}
