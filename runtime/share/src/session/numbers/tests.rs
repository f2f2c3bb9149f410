//! Numbers of one device stay, and those of two don't meet.

use super::*;

#[test]
fn numbers_tell_devices_apart_and_stay() {
    let numbers = Numbers::default();
    assert_eq!(numbers.of(7, 128), 128);
    let other = numbers.of(9, 128);
    assert_ne!(other, 128);
    assert_eq!(numbers.of(7, 128), 128);
    assert_eq!(numbers.of(9, 128), other);
    // Large ones, too, are one to one.
    assert_ne!(numbers.of(9, u64::MAX), numbers.of(9, u64::MAX - 1));
    let mut all: Vec<u64> = (0..1000).map(|device| numbers.of(device, 5)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1000);
}
