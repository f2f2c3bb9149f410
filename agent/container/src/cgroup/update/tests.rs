//! Changes of limits, in a folder that looks like a cgroup. What the kernel does with them is tested over the protocol.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A file that can be read, and that even root cannot write.
const UNCHANGEABLE: &str = "/proc/version";

fn cgroup() -> (TempDir, Cgroup) {
    let folder = tempfile::tempdir().unwrap();
    for (file, value) in [
        ("cpu.max", "20000 100000\n"),
        ("cpu.weight", "100\n"),
        ("cpuset.cpus", "\n"),
        ("memory.max", "max\n"),
        ("memory.current", "8192\n"),
        ("pids.max", "max\n"),
    ] {
        fs::write(folder.path().join(file), value).unwrap();
    }
    let cgroup = Cgroup {
        path: folder.path().to_owned(),
    };
    (folder, cgroup)
}

fn update(cgroup: &Cgroup, limits: &str) -> String {
    let resources: LinuxResources = serde_json::from_str(limits).unwrap();
    match cgroup.update(&resources) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn check(limits: &str, expect: &str, files: &[(&str, &str)]) {
    let (_folder, cgroup) = cgroup();
    assert_eq!(update(&cgroup, limits), expect, "{limits}");
    for (file, value) in files {
        assert_eq!(
            cgroup.read(file).trim_end(),
            *value,
            "{file} after {limits}"
        );
    }
}

#[test]
fn only_what_is_set_changes() {
    check("{}", "", &[("cpu.max", "20000 100000")]);
    check(
        r#"{"memory":{"limit":16384,"swap":16384},"pids":{"limit":7}}"#,
        "",
        &[
            ("memory.max", "16384"),
            ("pids.max", "7"),
            ("cpu.weight", "100"),
        ],
    );
    check(r#"{"cpu":{"quota":50000}}"#, "", &[("cpu.max", "50000")]);
    check(
        r#"{"cpu":{"period":50000}}"#,
        "",
        &[("cpu.max", "20000 50000")],
    );
    check(
        r#"{"unified":{"cpu.weight":"9"},"cpu":{"cpus":"0-1"}}"#,
        "",
        &[("cpu.weight", "9"), ("cpuset.cpus", "0-1")],
    );
}

#[test]
fn unlimited_quota_stays_so_with_another_period() {
    let cpu = keep_quota(LinuxCpu::default(), "max 100000\n");
    assert_eq!(cpu.quota(), Some(-1));
}

#[test]
fn refused_change_is_named_and_those_before_it_are_put_back() {
    let (folder, cgroup) = cgroup();
    symlink(UNCHANGEABLE, folder.path().join("unified.fixed")).unwrap();
    let limits = r#"{"memory":{"limit":4096},"cpu":{"cpus":"1"},"unified":{"unified.fixed":"1"}}"#;
    let error = update(&cgroup, limits);
    assert_eq!(
        error,
        "set unified.fixed of the container's cgroup to \"1\""
    );
    assert_eq!(cgroup.read("memory.max"), "max\n");
    assert_eq!(cgroup.read("cpuset.cpus"), "\n");
}

#[test]
fn what_cannot_be_undone_is_said_too() {
    let (folder, cgroup) = cgroup();
    for file in ["a.fixed", "b.fixed"] {
        symlink(UNCHANGEABLE, folder.path().join(file)).unwrap();
    }
    let write = |file: &str, value: &str| Write {
        file: file.into(),
        value: value.into(),
        optional: false,
    };
    let old = cgroup.old(&write("a.fixed", "1")).unwrap().unwrap();
    assert!(cgroup.write(old).is_err());
    assert!(cgroup.old(&write("no.file", "1")).is_err());
}

#[test]
fn limit_that_cannot_be_changed_is_refused_before_anything_is() {
    let untouched: &[(&str, &str)] = &[("pids.max", "max"), ("memory.max", "max")];
    let check = |limits, expect| check(limits, expect, untouched);
    check(
        r#"{"pids":{"limit":7},"devices":[]}"#,
        "devices can't be changed while the container runs",
    );
    check(
        r#"{"pids":{"limit":7},"blockIO":{"weight":10}}"#,
        "io.weight can't be changed while the container runs",
    );
    check(
        r#"{"pids":{"limit":7},"unified":{"io.max":"8:0 rbps=1"}}"#,
        "io.max can't be changed while the container runs",
    );
    check(
        r#"{"pids":{"limit":7},"unified":{"nothing.max":"1"}}"#,
        "the guest's cgroups have no nothing.max, which the limit \"1\" needs",
    );
    check(
        r#"{"pids":{"limit":7},"memory":{"limit":4096,"checkBeforeUpdate":true}}"#,
        "the memory limit can't be 4096 bytes: 8192 are in use",
    );
}
