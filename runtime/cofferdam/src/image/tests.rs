//! Sizes as people read them.

use super::size;

#[test]
fn size_in_binary_units() {
    let check = |bytes: u64, expect: &str| assert_eq!(size(bytes), expect);
    check(0, "0 B");
    check(1023, "1023 B");
    check(1024, "1.0 KiB");
    check(1536, "1.5 KiB");
    check(5 << 20, "5.0 MiB");
    check(3 << 40, "3.0 TiB");
}
