//! What is missing is said with what to do about it.

use std::path::PathBuf;

use super::*;

fn good() -> Facts {
    Facts {
        kvm: KvmKind::Hardware {
            module: "kvm_amd".into(),
        },
        kernel_release: "6.1.0".into(),
        kernel_version: (6, 1),
        cgroup_v2: true,
        uid: 0,
        capabilities: u64::MAX,
        files: vec![FileFact {
            what: "monitor",
            key: "monitor",
            path: PathBuf::from("/m"),
            problem: None,
        }],
    }
}

#[test]
fn good_host_has_nothing_to_do() {
    for finding in judge(&good()) {
        assert_eq!(
            (finding.verdict, finding.advice),
            (Verdict::Ok, None),
            "{}",
            finding.what
        );
    }
}

#[test]
fn each_lack_is_named_with_advice() {
    let check = |facts: Facts, what: &str, verdict: Verdict, advice: &str| {
        let findings = judge(&facts);
        let finding = findings
            .iter()
            .find(|finding| finding.what == what)
            .unwrap();
        assert_eq!(finding.verdict, verdict);
        let given = finding.advice.as_deref().unwrap();
        assert!(given.contains(advice), "{given}");
    };
    use Verdict::{Missing, Warning};
    check(
        Facts {
            kvm: KvmKind::Software,
            ..good()
        },
        "kvm",
        Missing,
        "nested test host",
    );
    let absent = |processor_can| Facts {
        kvm: KvmKind::Absent { processor_can },
        ..good()
    };
    check(absent(true), "kvm", Missing, "modprobe");
    check(absent(false), "kvm", Missing, "firmware");
    let refused = KvmKind::NoAccess {
        reason: "permission denied".into(),
    };
    check(
        Facts {
            kvm: refused,
            ..good()
        },
        "kvm",
        Missing,
        "root",
    );
    check(
        Facts {
            kernel_version: (4, 19),
            ..good()
        },
        "kernel",
        Missing,
        "5.15",
    );
    check(
        Facts {
            cgroup_v2: false,
            ..good()
        },
        "cgroup",
        Warning,
        "cgroup2",
    );
    check(
        Facts {
            uid: 1000,
            ..good()
        },
        "privileges",
        Missing,
        "root",
    );
    check(
        Facts {
            capabilities: 0,
            ..good()
        },
        "privileges",
        Missing,
        "capabilities",
    );
    let file = FileFact {
        what: "monitor",
        key: "monitor",
        path: PathBuf::from("/m"),
        problem: Some("not a program".into()),
    };
    check(
        Facts {
            files: vec![file],
            ..good()
        },
        "monitor",
        Missing,
        "make dist",
    );
}
