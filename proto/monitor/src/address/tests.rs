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

fn check_nic_id(text: &str, fits: bool) {
    assert_eq!(text.parse::<NicId>().is_ok(), fits, "{text:?}");
}

#[test]
fn nic_id_is_as_short_as_an_interface_s_name() {
    check_nic_id("eth0", true);
    check_nic_id("fifteen-letters", true);
    check_nic_id("sixteen-letters-", false);
    check_nic_id("", false);
    check_nic_id("eth 0", false);
}

fn check_mac(text: &str, expect: Option<[u8; 6]>) {
    let mac: Option<Mac> = text.parse().ok();
    assert_eq!(mac.map(Mac::bytes), expect, "{text:?}");
    if let Some(mac) = mac {
        assert_eq!(mac.to_string(), text.to_lowercase());
        let json = serde_json::to_string(&mac).unwrap();
        assert_eq!(serde_json::from_str::<Mac>(&json).unwrap(), mac);
    }
}

#[test]
fn mac_of_one_nic_is_read_back() {
    check_mac("02:00:5e:00:53:01", Some([2, 0, 0x5e, 0, 0x53, 1]));
    check_mac("FE:00:00:00:00:ff", Some([0xfe, 0, 0, 0, 0, 0xff]));
}

#[test]
fn mac_of_nobody_or_of_a_group_is_refused() {
    for text in [
        "",
        "00:00:00:00:00:00",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "02:00:5e:00:53",
        "02:00:5e:00:53:01:02",
        "02:00:5e:00:53:1",
        "02:00:5e:00:53:+1",
        "02-00-5e-00-53-01",
    ] {
        check_mac(text, None);
    }
}

#[test]
fn share_tag_is_as_long_as_virtio_lets_it() {
    for (text, fits) in [
        ("cofferdam", true),
        (&"x".repeat(36), true),
        (&"x".repeat(37), false),
        ("", false),
        ("a b", false),
        ("ä", false),
    ] {
        assert_eq!(text.parse::<ShareTag>().is_ok(), fits, "{text:?}");
    }
}
