//! Tests of the whole line.

use monitor::{Fd, Identity, Lifetime, Processors, Vsock};

use super::*;

fn check(console: Console, added: &str, expect: &str) {
    let launch = Launch {
        version: monitor::VERSION,
        name: "web".to_owned(),
        started_ns: 0,
        identity: Identity { uid: 1, gid: 1 },
        lifetime: Lifetime::WithLauncher,
        processors: Processors { boot: 2, max: 4 },
        memory_bytes: 256 << 20,
        command_line: added.to_owned(),
        kvm: Fd(0),
        kernel: Fd(1),
        guest_image: None,
        control_listener: Fd(2),
        vsock: Vsock {
            listener: Fd(3),
            guest_cid: 3,
        },
        console,
        disks: Vec::new(),
        nics: Vec::new(),
        vfio: None,
        later_functions: 0,
    };
    assert_eq!(compose(&launch), expect);
}

#[test]
fn line_is_quiet_without_a_console_and_ends_with_what_was_added() {
    check(
        Console::Off,
        "agent.debug=1",
        "console=ttyS0 8250.nr_uarts=1 panic=-1 reboot=a loglevel=1 maxcpus=2 agent.debug=1",
    );
    check(
        Console::Log(Fd(4)),
        "",
        "console=ttyS0 8250.nr_uarts=1 panic=-1 reboot=a loglevel=7 maxcpus=2",
    );
}

#[test]
fn every_word_has_a_reason() {
    for word in [ALWAYS, QUIET, TALKING].into_iter().flatten() {
        assert!(word.reason.len() >= 10, "{}", word.text);
        assert!(!word.text.contains(' '), "{}", word.text);
    }
}
