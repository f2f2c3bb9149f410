//! How many test hosts a machine has places for.

use super::*;

const MIB: u64 = 1024;

#[test]
fn places_follow_processors_and_memory() {
    let check = |said, processors, mib: Option<u64>, places| {
        let found = places_of(said, processors, mib.map(|mib| mib * MIB));
        assert_eq!(
            found, places,
            "{said:?}, {processors} processors, {mib:?} MiB"
        );
    };
    check(None, 2, Some(20_000), 3);
    check(None, 1, Some(20_000), 2);
    check(None, 2, Some(13_000), 2);
    check(None, 2, Some(3_000), 1);
    check(None, 64, Some(500_000), MOST);
    check(None, 2, None, 1);
    check(Some("1"), 2, Some(20_000), 1);
    check(Some("4"), 2, Some(3_000), 4);
    check(Some("0"), 2, Some(20_000), 1);
    check(Some("many"), 2, Some(20_000), 3);
}

#[test]
fn memory_is_read() {
    let text = "MemTotal:       24609100 kB\nMemFree:   19922944 kB\n";
    assert_eq!(total_kib(text), Some(24_609_100));
    assert_eq!(total_kib("MemFree: 1 kB\n"), None);
}
