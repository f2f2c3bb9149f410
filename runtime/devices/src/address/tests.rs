//! What is an address, and what only looks like one.

use super::*;

#[test]
fn address_written_is_as_sysfs_has_it() {
    let check = |text: &str, expect: &str| {
        let address: PciAddress = text.parse().unwrap();
        assert_eq!(address.to_string(), expect);
    };
    check("0000:41:00.0", "0000:41:00.0");
    check("41:00.0", "0000:41:00.0");
    check("0000:C1:1F.7", "0000:c1:1f.7");
    check("10000:e1:00.0", "10000:e1:00.0");
}

#[test]
fn address_malformed_is_refused() {
    for text in [
        "",
        "8",
        "vfio8",
        "0000:41:00",
        "0000:41:20.0",
        "0000:41:00.8",
        "0000:141:00.0",
        "000:41:00.0",
        "0000:41:+0.0",
        "0000:41:00.0/..",
        "GPU-d14ab0b4-7f21-5e8c-0000-000000000000",
    ] {
        let error = text.parse::<PciAddress>().unwrap_err();
        assert!(error.to_string().contains("0000:41:00.0"), "{error}");
    }
}
