//! What kubelet says becomes a path below the mount, and nothing else does.

use super::*;

use CgroupDriver::{Cgroupfs, Systemd};

#[test]
fn parents_of_kubelet_are_paths_below_the_mount() {
    let check = |driver, name: &str, expect: &str| {
        let parent = CgroupParent::parse(driver, name).unwrap();
        assert_eq!(parent.path(), Path::new(expect), "{name}");
    };
    let pod = "kubepods-besteffort-pod0f1e_2d.slice";
    let nested = format!("kubepods.slice/kubepods-besteffort.slice/{pod}");
    check(Systemd, pod, &nested);
    // kubelet says the whole path.
    check(Systemd, &format!("/{nested}"), &nested);
    check(Systemd, "machine.slice", "machine.slice");
    check(Systemd, "-.slice", "");
    check(
        Cgroupfs,
        "/kubepods/besteffort/pod0f1e-2d",
        "kubepods/besteffort/pod0f1e-2d",
    );
    check(Cgroupfs, "cofferdam", "cofferdam");
    check(Cgroupfs, "/", "");
    // Its own words: a path that happens to end so is one.
    check(Cgroupfs, "/a-b.slice", "a-b.slice");
}

#[test]
fn parents_that_can_not_be_are_refused_by_name() {
    let check = |driver, name: &str, expect: &str| {
        let error = CgroupParent::parse(driver, name).unwrap_err().to_string();
        assert!(error.contains(expect), "{name:?} gave {error}");
    };
    check(
        Systemd,
        "/kubepods/besteffort/pod1",
        "no slice, which the systemd driver wants",
    );
    check(
        Systemd,
        "a--b.slice",
        "\"a--b.slice\": a slice is called like",
    );
    check(Systemd, "-a.slice", "a slice is called like");
    check(Systemd, ".slice", "a slice is called like");
    check(Systemd, "...slice/..", "no slice");
    check(Cgroupfs, "/kubepods/../../etc", "may not contain . or ..");
    check(Cgroupfs, "a/cgroup.procs", "begins with \"cgroup.\"");
    check(Cgroupfs, "a\nb", "no file name");
    check(Cgroupfs, &"a".repeat(256), "no file name");
    check(Cgroupfs, &"a/".repeat(1025), "longer than 2048 bytes");
}
