//! Limits by the words of the specification.

use model::HugePageLimit;
use serde_json::{Value, json};

use super::*;

#[test]
fn limits_are_translated() {
    let check = |limits: Limits, expect: Value| {
        let resources = resources(&limits, Vec::new()).unwrap();
        assert_eq!(serde_json::to_value(resources).unwrap(), expect);
    };
    check(Limits::default(), json!({}));
    let memory_bytes = Some(64 << 20);
    check(
        Limits {
            memory_bytes,
            pids: Some(10),
            ..Limits::default()
        },
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 10}}),
    );
    let memory_and_swap_bytes = Some(96 << 20);
    check(
        Limits {
            memory_bytes,
            memory_and_swap_bytes,
            ..Limits::default()
        },
        json!({"memory": {"limit": 64 << 20, "swap": 96 << 20}}),
    );
    check(
        Limits {
            cpu_shares: Some(512),
            cpu_quota_us: Some(50_000),
            cpu_period_us: Some(100_000),
            cpuset_cpus: "0-1".into(),
            cpuset_mems: "0".into(),
            ..Limits::default()
        },
        json!({"cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-1", "mems": "0"}}),
    );
    let page_size = "2MB".to_owned();
    check(
        Limits {
            huge_pages: vec![HugePageLimit {
                page_size,
                bytes: 4 << 20,
            }],
            unified: [("memory.high".to_owned(), "1".to_owned())].into(),
            ..Limits::default()
        },
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}], "unified": {"memory.high": "1"}}),
    );
}

#[test]
fn limit_that_cannot_be_is_refused() {
    let check = |memory_bytes, both, expect: &str| {
        let limits = Limits {
            memory_bytes,
            memory_and_swap_bytes: Some(both),
            ..Limits::default()
        };
        let error = resources(&limits, Vec::new()).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(
        Some(10),
        9,
        "memory_swap_limit_in_bytes can't be 9: it counts memory too",
    );
    check(None, 9, "needs a limit of memory");
    assert_eq!(oom_score_adj(-1000).unwrap(), -1000);
    let error = oom_score_adj(1001).unwrap_err().to_string();
    assert_eq!(error, "oom_score_adj can't be 1001: -1000 to 1000");
}

#[test]
fn limits_of_processes_are_checked_and_completed() {
    let one = |kind: &str, soft, hard| Rlimit {
        kind: kind.into(),
        soft,
        hard,
    };
    let check = |given: &[Rlimit], expect: &[(PosixRlimitType, u64, u64)]| {
        let rlimits = rlimits(given).unwrap();
        let all: Vec<_> = rlimits
            .iter()
            .map(|r| (r.typ(), r.soft(), r.hard()))
            .collect();
        assert_eq!(all, expect);
    };
    let files = PosixRlimitType::RlimitNofile;
    check(&[], &[(files, OPEN_FILES, OPEN_FILES)]);
    check(&[one("RLIMIT_NOFILE", 5, 6)], &[(files, 5, 6)]);
    check(
        &[one("RLIMIT_CORE", 0, 0)],
        &[
            (PosixRlimitType::RlimitCore, 0, 0),
            (files, OPEN_FILES, OPEN_FILES),
        ],
    );
    let refuse = |given: &[Rlimit], expect: &str| {
        let error = rlimits(given).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    refuse(
        &[one("RLIMIT_FUN", 1, 1)],
        "\"RLIMIT_FUN\" is not one of Linux",
    );
    refuse(&[one("RLIMIT_CPU", 2, 1)], "soft value above");
    refuse(
        &[one("RLIMIT_CPU", 1, 1), one("RLIMIT_CPU", 1, 1)],
        "there twice",
    );
}

#[test]
fn change_says_what_changes_and_no_more() {
    const MIB: u64 = 1 << 20;
    let old = Limits {
        memory_bytes: Some(64 * MIB),
        memory_and_swap_bytes: Some(64 * MIB),
        cpu_quota_us: Some(50_000),
        pids: Some(10),
        ..Limits::default()
    };
    let check = |wanted: LimitsChange, expect: Option<Value>| {
        let told = change(&old, &wanted).unwrap();
        let told = told.map(|told| serde_json::to_value(told).unwrap());
        assert_eq!(told, expect);
    };
    let at = |mib: u64| Some(NewLimit::At(mib * MIB));
    let nothing = LimitsChange::default;
    check(nothing(), None);
    let wanted = LimitsChange {
        memory_bytes: at(32),
        ..nothing()
    };
    check(wanted, Some(json!({"memory": {"limit": 32 * MIB}})));
    let wanted = LimitsChange {
        memory_and_swap_bytes: at(80),
        cpu_shares: Some(7),
        ..nothing()
    };
    let expect = json!({"memory": {"limit": 64 * MIB, "swap": 80 * MIB}, "cpu": {"shares": 7}});
    check(wanted, Some(expect));
    let wanted = LimitsChange {
        memory_bytes: Some(NewLimit::Lifted),
        cpu_quota_us: Some(NewLimit::Lifted),
        cpu_period_us: Some(1000),
        ..nothing()
    };
    let expect = json!({"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1, "period": 1000}});
    check(wanted, Some(expect));
    let wanted = LimitsChange {
        memory_and_swap_bytes: Some(NewLimit::Lifted),
        ..nothing()
    };
    check(
        wanted,
        Some(json!({"memory": {"limit": 64 * MIB, "swap": -1}})),
    );
    let less_than_memory = LimitsChange {
        memory_and_swap_bytes: at(32),
        ..nothing()
    };
    let refused = change(&old, &less_than_memory).unwrap_err();
    assert!(
        refused.to_string().contains("memory_swap_limit_in_bytes"),
        "{refused}"
    );
}
