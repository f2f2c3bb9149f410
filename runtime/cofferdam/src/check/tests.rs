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
            key: "monitor".to_owned(),
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

fn check(facts: &Facts, what: &str, verdict: Verdict, advice: &str) {
    let findings = judge(facts);
    let finding = findings
        .iter()
        .find(|finding| finding.what == what)
        .unwrap();
    assert_eq!(finding.verdict, verdict);
    let given = finding.advice.as_deref().unwrap();
    assert!(given.contains(advice), "{given}");
}

#[test]
fn each_lack_of_kvm_is_named_with_advice() {
    let check = |kvm: KvmKind, advice: &str| {
        check(&Facts { kvm, ..good() }, "kvm", Verdict::Missing, advice);
    };
    check(KvmKind::Software, "nested test host");
    check(
        KvmKind::Absent {
            processor_can: true,
        },
        "modprobe",
    );
    check(
        KvmKind::Absent {
            processor_can: false,
        },
        "firmware",
    );
    check(
        KvmKind::NoAccess {
            reason: "permission denied".into(),
        },
        "root",
    );
}

#[test]
fn each_other_lack_is_named_with_advice() {
    use Verdict::{Missing, Warning};
    check(
        &Facts {
            kernel_version: (4, 19),
            ..good()
        },
        "kernel",
        Missing,
        "5.15",
    );
    check(
        &Facts {
            cgroup_v2: false,
            ..good()
        },
        "cgroup",
        Warning,
        "cgroup2",
    );
    check(
        &Facts {
            uid: 1000,
            ..good()
        },
        "privileges",
        Missing,
        "root",
    );
    check(
        &Facts {
            capabilities: 0,
            ..good()
        },
        "privileges",
        Missing,
        "capabilities",
    );
    let file = FileFact {
        what: "monitor",
        key: "monitor".to_owned(),
        path: PathBuf::from("/m"),
        problem: Some("not a program".into()),
    };
    check(
        &Facts {
            files: vec![file],
            ..good()
        },
        "monitor",
        Missing,
        "make dist",
    );
}
