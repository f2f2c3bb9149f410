//! Changes of limits, with values.

use super::*;

const MIB: u64 = 1 << 20;

fn before() -> Limits {
    Limits {
        memory_bytes: Some(64 * MIB),
        memory_and_swap_bytes: Some(80 * MIB),
        pids: Some(10),
        cpu_shares: Some(512),
        cpu_quota_us: Some(50_000),
        huge_pages: vec![HugePageLimit {
            page_size: "2MB".to_owned(),
            bytes: 2 * MIB,
        }],
        unified: [("memory.high".to_owned(), "1".to_owned())].into(),
        ..Limits::default()
    }
}

fn check(change: &LimitsChange, expect: &Limits) {
    assert_eq!(&before().changed(change), expect);
}

#[test]
fn change_of_nothing_changes_nothing() {
    check(&LimitsChange::default(), &before());
}

#[test]
fn swap_stays_what_it_was_beside_memory() {
    let memory = |memory| LimitsChange {
        memory_bytes: Some(memory),
        ..LimitsChange::default()
    };
    let with = |memory_bytes, memory_and_swap_bytes| Limits {
        memory_bytes,
        memory_and_swap_bytes,
        ..before()
    };
    let at = |mib: u64| NewLimit::At(mib * MIB);
    check(&memory(at(32)), &with(Some(32 * MIB), Some(48 * MIB)));
    check(&memory(NewLimit::Lifted), &with(None, None));
    let both = LimitsChange {
        memory_and_swap_bytes: Some(at(100)),
        ..memory(at(90))
    };
    check(&both, &with(Some(90 * MIB), Some(100 * MIB)));
    let lifted = LimitsChange {
        memory_and_swap_bytes: Some(NewLimit::Lifted),
        ..LimitsChange::default()
    };
    check(&lifted, &with(Some(64 * MIB), None));
}

#[test]
fn processors_pages_and_files_are_replaced_one_by_one() {
    let page = |page_size: &str, bytes| HugePageLimit {
        page_size: page_size.to_owned(),
        bytes,
    };
    let file = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let change = LimitsChange {
        cpu_quota_us: Some(NewLimit::Lifted),
        cpu_period_us: Some(10_000),
        huge_pages: vec![page("2MB", 4 * MIB), page("1GB", 7)],
        unified: [file("memory.low", "3"), file("memory.high", "2")].into(),
        ..LimitsChange::default()
    };
    let expect = Limits {
        cpu_quota_us: None,
        cpu_period_us: Some(10_000),
        huge_pages: vec![page("2MB", 4 * MIB), page("1GB", 7)],
        unified: [file("memory.high", "2"), file("memory.low", "3")].into(),
        ..before()
    };
    check(&change, &expect);
}
