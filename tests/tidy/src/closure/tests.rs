//! An async runtime below the monitor is found, with the way to it.

use super::*;

fn packages(cases: &[(&str, &[usize])]) -> Vec<Package> {
    let one = |(name, links): &(&str, &[usize])| Package {
        name: (*name).to_owned(),
        links: links.to_vec(),
        ..Package::default()
    };
    cases.iter().map(one).collect()
}

#[test]
fn closure_with_a_denied_package_is_found_with_its_way() {
    let found = check(
        &packages(&[
            ("vmm", &[1]),
            ("queue", &[2, 3]),
            ("tokio", &[]),
            ("openssl-sys", &[]),
        ]),
        &["vmm"],
    );
    let ways: Vec<&str> = found
        .iter()
        .map(|finding| finding.advice.as_str())
        .collect();
    assert_eq!(
        ways,
        [
            "cut it from the monitor: vmm → queue → tokio",
            "cut it from the monitor: vmm → queue → openssl-sys"
        ]
    );
}

#[test]
fn closure_without_a_denied_package_is_fine() {
    let tree = packages(&[
        ("vmm", &[1]),
        ("tokens", &[0]),
        ("cofferdam", &[3]),
        ("tokio", &[]),
    ]);
    assert_eq!(check(&tree, &["vmm"]), []);
}

#[test]
fn closure_of_a_crate_that_is_gone_is_found() {
    assert_eq!(check(&[], &["vmm"]).len(), 1);
}
