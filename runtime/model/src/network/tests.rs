//! Ethernet addresses as text.

use super::{BadMac, Mac};

#[test]
fn mac_reads_and_writes_six_bytes() {
    let mac: Mac = "0A:00:fe:10:00:01".parse().unwrap();
    assert_eq!(mac, Mac([0x0a, 0, 0xfe, 0x10, 0, 1]));
    assert_eq!(mac.to_string(), "0a:00:fe:10:00:01");
}

#[test]
fn mac_of_other_shape_is_refused() {
    for text in [
        "",
        "0a:00:fe:10:00",
        "0a:00:fe:10:00:01:02",
        "0a:0:fe:10:00:001",
        "0a:00:fe:10:00:+1",
        "0a:00:fe:10:00:0g",
        "0a-00-fe-10-00-01",
    ] {
        let expected = BadMac {
            text: text.to_owned(),
        };
        assert_eq!(text.parse::<Mac>(), Err(expected));
    }
}
