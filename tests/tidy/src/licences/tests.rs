//! A licence that is not allowed is found.

use super::*;

#[test]
fn licence_expression_is_allowed_where_a_choice_is() {
    for expression in [
        "MIT",
        "MIT/Apache-2.0",
        "Apache-2.0 / MIT",
        "GPL-3.0-only OR MIT",
        "(MIT OR GPL-2.0-only) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-3.0-only AND ISC OR MIT",
    ] {
        assert!(is_allowed(expression), "{expression}");
    }
}

#[test]
fn licence_expression_without_an_allowed_choice_is_refused() {
    for expression in [
        "",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR Apache-2.0) AND GPL-3.0-only",
        "MIT WITH something",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT Apache-2.0",
    ] {
        assert!(!is_allowed(expression), "{expression}");
    }
}

fn package(licence: Option<&str>, origin: Origin) -> Package {
    let licence = licence.map(str::to_owned);
    Package {
        name: "a".to_owned(),
        version: "1.0.0".to_owned(),
        licence,
        origin,
        links: Vec::new(),
    }
}

#[test]
fn licence_of_a_foreign_package_is_checked() {
    let found = |licence, origin| check(&[package(licence, origin)], &[]).len();
    assert_eq!(found(Some("MIT"), Origin::Registry), 0);
    assert_eq!(found(Some("GPL-3.0-only"), Origin::Registry), 1);
    assert_eq!(found(None, Origin::Registry), 1);
    assert_eq!(found(None, Origin::Here), 0);
}

#[test]
fn licence_exception_covers_what_it_names_and_no_more() {
    let exception = |says, reason| Exception {
        package: "a",
        says,
        reason,
    };
    let found =
        |licence, exception| check(&[package(licence, Origin::Registry)], &[exception]).len();
    assert_eq!(found(None, exception("", "read by a person")), 0);
    assert_eq!(
        found(Some("LGPL-2.1-only"), exception("", "read by a person")),
        2
    );
    assert_eq!(found(Some("MIT"), exception("MIT", "read by a person")), 1);
    assert_eq!(found(None, exception("", "")), 1);
}
