//! Tests of the names that travel as text.

use super::*;

fn check_address(text: &str, expect: Option<PciAddress>) {
    assert_eq!(text.parse().ok(), expect, "{text:?}");
    if let Some(address) = expect {
        assert_eq!(address.to_string(), text);
        let json = serde_json::to_string(&address).unwrap();
        assert_eq!(serde_json::from_str::<PciAddress>(&json).unwrap(), address);
    }
}

#[test]
fn pci_address_as_linux_writes_it_is_read_back() {
    let address = |bus, device, function| PciAddress {
        segment: 0,
        bus,
        device,
        function,
    };
    check_address("0000:00:03.0", Some(address(0, 3, 0)));
    check_address("0000:ff:1f.7", Some(address(255, 31, 7)));
}

#[test]
fn pci_address_of_another_form_is_refused() {
    for text in [
        "",
        "00:03.0",
        "0000:00:20.0",
        "0000:00:03.8",
        "0000:00:3.0",
        "+000:00:03.0",
        "0000:00:03.0 ",
        "0000:00:03",
        "00000:00:03.0",
    ] {
        check_address(text, None);
    }
}

fn check_disk_id(text: &str, fits: bool) {
    assert_eq!(text.parse::<DiskId>().is_ok(), fits, "{text:?}");
}

#[test]
fn disk_id_is_short_printable_ascii() {
    check_disk_id("image", true);
    check_disk_id("twenty-characters-ok", true);
    check_disk_id("twenty-one-characters", false);
    check_disk_id("", false);
    check_disk_id("a b", false);
    check_disk_id("naïve", false);
    check_disk_id("line\n", false);
}
