//! Tests of attributes: names with and without a place, and that all come back.

use super::{count, decode, encode, is_storable, size, size_of_count};
use crate::tree::Xattrs;

#[test]
fn attribute_names_have_a_place_or_not() {
    for name in [
        "user.a",
        "trusted.b",
        "security.selinux",
        "system.posix_acl_access",
    ] {
        assert!(is_storable(name.as_bytes()), "{name}");
    }
    for name in [
        "user.",
        "user",
        "com.apple.x",
        "system.other",
        "system.posix_acl_access2",
        "",
    ] {
        assert!(!is_storable(name.as_bytes()), "{name}");
    }
}

#[test]
fn attributes_come_back() {
    let mut xattrs = Xattrs::new();
    for (name, value) in [
        (&b"user.empty"[..], &b""[..]),
        (b"user.x\xff", b"\0binary\n"),
        (b"system.posix_acl_default", b"12345"),
        (b"security.capability", &[1; 20]),
    ] {
        xattrs.insert(name.into(), value.into());
    }
    let bytes = encode(&xattrs).unwrap();
    assert_eq!(bytes.len(), size(&xattrs));
    assert_eq!(size_of_count(count(bytes.len()).unwrap()), bytes.len());
    assert_eq!(decode(&bytes, 1).unwrap(), xattrs);
    assert!(encode(&Xattrs::new()).unwrap().is_empty());
    assert!(decode(&bytes[..bytes.len() - 4], 1).is_err());
    assert!(count(12 + 4 * 65_535).is_err());
}
