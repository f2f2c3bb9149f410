//! The kernel's lists of numbers.

use super::*;

#[test]
fn list_of_ranges_becomes_numbers() {
    let check = |list: &str, expect: &[u32]| assert_eq!(numbers(list), expect, "{list}");
    check("0-2,5", &[0, 1, 2, 5]);
    check("7", &[7]);
    check("", &[]);
    check("3-1,x,2", &[2]);
    assert_eq!(numbers("0-4294967295").len(), 4096);
}

#[test]
fn this_machine_has_memory_and_processors() {
    assert!(memory_bytes() > 1 << 20);
    assert!(!processors("online").is_empty());
    assert!(!kernel_release().is_empty());
}
