//! Second versions and strange sources are found.

use super::*;

fn packages(versions: &[&str]) -> Vec<Package> {
    let one = |version: &&str| Package {
        name: "a".to_owned(),
        version: (*version).to_owned(),
        origin: Origin::Registry,
        ..Package::default()
    };
    versions.iter().map(one).collect()
}

fn check_versions(versions: &[&str], listed: Option<usize>, places: &[&str]) {
    let exceptions: Vec<Exception> = listed
        .map(|versions| Exception {
            package: "a",
            versions,
            reason: "b needs it",
        })
        .into_iter()
        .collect();
    let found = check(&packages(versions), &exceptions);
    let at: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(at, places, "{versions:?} {listed:?}: {found:?}");
}

#[test]
fn version_second_is_found_unless_listed() {
    check_versions(&["1.0.0"], None, &[]);
    check_versions(&["1.0.0", "2.0.0"], None, &[PLACE]);
    check_versions(&["1.0.0", "2.0.0"], Some(2), &[]);
    check_versions(&["1.0.0", "2.0.0", "3.0.0"], Some(2), &[PLACE]);
}

#[test]
fn version_exception_not_needed_is_found() {
    check_versions(&["1.0.0"], Some(2), &[HERE]);
    check_versions(&["1.0.0", "2.0.0"], Some(3), &[HERE]);
    check_versions(&[], Some(2), &[HERE]);
    check_versions(&["1.0.0"], Some(1), &[HERE]);
}

#[test]
fn version_from_elsewhere_is_found() {
    let mut list = packages(&["1.0.0"]);
    list[0].origin = Origin::Elsewhere("git+ssh://somewhere".to_owned());
    assert_eq!(check(&list, &[]).len(), 1);
}
