//! A wrapped package used past its wrapper is found.

use super::*;

fn check_links(links: &[(&str, &[usize])], findings: usize) {
    let foreign = Package {
        name: "kvm".to_owned(),
        origin: Origin::Registry,
        ..Package::default()
    };
    let ours = links.iter().map(|(name, links)| Package {
        name: (*name).to_owned(),
        links: links.to_vec(),
        ..Package::default()
    });
    let packages: Vec<Package> = std::iter::once(foreign).chain(ours).collect();
    let door = Door {
        package: "kvm",
        crates: &["machine"],
        reason: "wrapped once",
    };
    let found = check(&packages, &[door]);
    assert_eq!(found.len(), findings, "{links:?}: {found:?}");
}

#[test]
fn door_that_is_gone_around_is_found() {
    check_links(&[("machine", &[0]), ("pod", &[0])], 1);
}

#[test]
fn door_that_is_used_is_fine() {
    check_links(&[("machine", &[0]), ("pod", &[1])], 0);
}
