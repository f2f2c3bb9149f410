//! Tests of PAX records: binary values, times, and what is refused.

use super::{Pax, timestamp};

#[test]
fn pax_value_with_newline_and_nul_is_kept_whole() {
    let mut record = b"34 SCHILY.xattr.user.x=a\nb\0c=d\nef\n".to_vec();
    let length = record.len().to_string();
    record[..2].copy_from_slice(length.as_bytes());
    let pax = Pax::parse(&record).unwrap();
    let value = pax.xattrs.get(&b"user.x"[..]).unwrap();
    assert_eq!(&value[..], b"a\nb\0c=d\nef");
}

#[test]
fn pax_malformed_record_is_refused() {
    for bad in [
        &b"5 a=b"[..],
        b"6 a=b ",
        b"x a=b\n",
        b"6 acb\n",
        b"99 a=b\n",
        b"0 a=b\n",
        b"+6 a=\n",
    ] {
        assert!(Pax::parse(bad).is_err(), "{}", bad.escape_ascii());
    }
    assert!(Pax::parse(b"12 size=-12\n").is_err());
}

#[test]
fn pax_overlay_marks_of_an_image_are_left_out() {
    let pax = Pax::parse(b"41 SCHILY.xattr.trusted.overlay.opaque=y\n").unwrap();
    assert!(pax.xattrs.is_empty());
}

#[test]
fn pax_time_parses_with_sign_and_fraction() {
    let check = |text: &str, expect| assert_eq!(timestamp(text.as_bytes()), expect, "{text}");
    check("12", Some((12, 0)));
    check("12.5", Some((12, 500_000_000)));
    check("12.1234567899", Some((12, 123_456_789)));
    check("-1.25", Some((-2, 750_000_000)));
    check("-0.25", Some((-1, 750_000_000)));
    check("-3", Some((-3, 0)));
    check("1.x", None);
    check("99999999999999999999", None);
}
