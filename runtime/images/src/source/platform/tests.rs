//! Tests of the choice of a platform.

use super::{Platform, choose, describe};

fn platforms(names: &[&str]) -> Vec<Option<Platform>> {
    let platform = |name: &&str| {
        let mut parts = name.split('/').map(str::to_owned);
        Some(Platform {
            os: parts.next()?,
            architecture: parts.next()?,
            variant: parts.next(),
        })
    };
    names.iter().map(platform).collect()
}

fn check(names: &[&str], expect: Option<usize>) {
    assert_eq!(choose(&platforms(names)), expect, "{names:?}");
}

#[test]
fn platform_choice_takes_the_least_demanding_amd64() {
    check(&["linux/arm64", "linux/amd64"], Some(1));
    check(
        &["linux/amd64/v3", "linux/amd64", "linux/amd64/v1"],
        Some(1),
    );
    check(&["linux/amd64/v3", "linux/amd64/v2"], Some(1));
    check(&["none", "linux/amd64"], Some(1));
    check(&["none"], Some(0));
    check(
        &[
            "windows/amd64",
            "linux/386",
            "unknown/unknown",
            "linux/amd64/v9",
        ],
        None,
    );
    check(&[], None);
}

#[test]
fn platform_list_reads_well() {
    let text = describe(&platforms(&["linux/arm/v7", "windows/amd64", "none"]));
    assert_eq!(text, "linux/arm/v7, windows/amd64, unknown");
    assert_eq!(describe(&[]), "none at all");
}
