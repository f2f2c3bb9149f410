//! Numbers out of /proc.

use super::*;

#[test]
fn memory_is_told_in_bytes() {
    let text = "MemTotal:       16384 kB\nMemFree:         1 kB\nMemAvailable:    2 kB\n";
    let check = |name: &str, expect: u64| assert_eq!(memory_bytes(text, name), expect, "{name}");
    check("MemTotal", 16 << 20);
    check("MemFree", 1024);
    check("MemAvailable", 2048);
    check("Mem", 0);
}

#[test]
fn idle_time_is_not_counted() {
    let text = "cpu  1 2 4 1000 2000 8 16 4000 1 2\ncpu0 9 9 9 9\n";
    assert_eq!(busy_ns(text, 100), 31 * 10_000_000);
    assert_eq!(busy_ns("", 100), 0);
}

#[test]
fn interface_has_both_directions() {
    let line = "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
    let usage = interface(line).unwrap();
    assert_eq!(usage.name, "eth0");
    let received = (usage.received_bytes, usage.received_packets);
    let lost = (usage.received_errors, usage.received_dropped);
    assert_eq!((received, lost), ((1, 2), (3, 4)));
    let sent = (usage.sent_bytes, usage.sent_packets);
    let lost = (usage.sent_errors, usage.sent_dropped);
    assert_eq!((sent, lost), ((9, 10), (11, 12)));
    for heading in [
        "Inter-|   Receive  |  Transmit",
        " face |bytes packets",
        "x: y",
    ] {
        assert_eq!(interface(heading), None, "{heading}");
    }
}
