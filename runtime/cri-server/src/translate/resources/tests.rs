//! Resources as kubelet says them, with values.

use super::*;

const MIB: i64 = 1 << 20;

/// All that there is, and what kubelet sends of the host.
fn full() -> LinuxContainerResources {
    let page = |page_size: &str, limit| HugepageLimit {
        page_size: page_size.to_owned(),
        limit,
    };
    let file = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit_in_bytes: 64 * MIB,
        memory_swap_limit_in_bytes: 64 * MIB,
        oom_score_adj: 999,
        cpuset_cpus: "40-47".to_owned(),
        cpuset_mems: "1".to_owned(),
        hugepage_limits: vec![page("2MB", 4 << 20), page("1GB", 0)],
        unified: [file("memory.high", "1000"), file("memory.swap.max", "0")].into(),
    }
}

#[test]
fn what_a_guest_has_is_passed_on_and_the_hosts_numbers_are_not() {
    let change = limits_change(&full()).unwrap();
    let limits = Limits::default().changed(&change);
    let expect = Limits {
        memory_bytes: Some(64 << 20),
        memory_and_swap_bytes: Some(64 << 20),
        cpu_shares: Some(512),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        huge_pages: [("2MB", 4 << 20), ("1GB", 0)]
            .map(|(page_size, bytes)| HugePageLimit {
                page_size: page_size.to_owned(),
                bytes,
            })
            .into(),
        unified: [("memory.high".to_owned(), "1000".to_owned())].into(),
        ..Limits::default()
    };
    assert_eq!(limits, expect);
    assert_eq!(oom_score_adj(&full()), Ok(Some(999)));
}

#[test]
fn zero_says_nothing_and_minus_one_lifts() {
    let nothing = LinuxContainerResources::default();
    assert_eq!(limits_change(&nothing), Ok(LimitsChange::default()));
    assert_eq!(oom_score_adj(&nothing), Ok(None));
    let lifting = LinuxContainerResources {
        cpu_quota: -1,
        memory_limit_in_bytes: -1,
        memory_swap_limit_in_bytes: -1,
        ..nothing
    };
    let expect = LimitsChange {
        cpu_quota_us: Some(NewLimit::Lifted),
        memory_bytes: Some(NewLimit::Lifted),
        memory_and_swap_bytes: Some(NewLimit::Lifted),
        ..LimitsChange::default()
    };
    assert_eq!(limits_change(&lifting), Ok(expect));
}

#[test]
fn numbers_that_are_none_are_refused_by_their_field() {
    let check = |change: &dyn Fn(&mut LinuxContainerResources), words: &str| {
        let mut resources = full();
        change(&mut resources);
        let refusal = limits_change(&resources).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
        assert!(refusal.to_string().contains(words), "{refusal}");
    };
    check(&|it| it.cpu_shares = -1, "cpu_shares can't be -1");
    check(&|it| it.cpu_period = -1, "cpu_period can't be -1");
    check(&|it| it.cpu_quota = -2, "cpu_quota can't be -2");
    check(
        &|it| it.memory_limit_in_bytes = -2,
        "memory_limit_in_bytes can't be -2",
    );
    let resources = LinuxContainerResources {
        oom_score_adj: i64::MAX,
        ..full()
    };
    let refusal = oom_score_adj(&resources).unwrap_err();
    assert!(refusal.to_string().contains("oom_score_adj"), "{refusal}");
}

#[test]
fn shown_is_what_was_asked_for_until_it_is_changed() {
    let shown = |asked: Option<&LinuxContainerResources>, limits: &Limits| {
        shown(asked, limits).and_then(|resources| resources.linux)
    };
    let begin = Limits {
        pids: Some(10),
        ..Limits::default()
    };
    let begin = begin.changed(&limits_change(&full()).unwrap());
    assert_eq!(shown(Some(&full()), &begin), Some(full()));
    let change = LinuxContainerResources {
        cpu_quota: -1,
        memory_limit_in_bytes: 128 * MIB,
        memory_swap_limit_in_bytes: 128 * MIB,
        ..LinuxContainerResources::default()
    };
    let changed = begin.changed(&limits_change(&change).unwrap());
    let expect = LinuxContainerResources {
        cpu_quota: 0,
        memory_limit_in_bytes: 128 * MIB,
        memory_swap_limit_in_bytes: 128 * MIB,
        ..full()
    };
    assert_eq!(shown(Some(&full()), &changed), Some(expect));
    let only_pids = Limits {
        pids: Some(10),
        ..Limits::default()
    };
    assert_eq!(shown(None, &only_pids), None);
    let later = only_pids.changed(&limits_change(&change).unwrap());
    let later = shown(None, &later).unwrap();
    assert_eq!(later.memory_limit_in_bytes, 128 * MIB);
}
