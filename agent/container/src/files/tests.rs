//! Which files become mounts, and how.

use super::*;

fn check(spec: &str, root_writable: bool, expect: &[&str]) {
    let mut spec: Spec = serde_json::from_str(spec).unwrap();
    let files = ["/etc/hosts", "/etc/hostname"].map(|target| PodFile {
        source: Path::new("/run/pod").join(target.trim_start_matches("/etc/")),
        target,
    });
    let root = tempfile::tempdir().unwrap();
    mount_files(&mut spec, &files, root.path(), root_writable).unwrap();
    let mounts = spec.mounts().iter().flatten();
    let lines: Vec<_> = mounts
        .map(|mount| {
            let source = mount.source().as_deref().unwrap_or(Path::new(""));
            let access = mount.options().iter().flatten().last();
            let access = access.map_or("", String::as_str);
            format!(
                "{} {} {access}",
                mount.destination().display(),
                source.display()
            )
        })
        .collect();
    assert_eq!(lines, expect, "{spec:?}");
}

#[test]
fn files_are_mounted_as_writable_as_the_root() {
    let [rw, ro] = ["rw", "ro"].map(|access| {
        [
            format!("/etc/hosts /run/pod/hosts {access}"),
            format!("/etc/hostname /run/pod/hostname {access}"),
        ]
    });
    let [rw, ro] = [&rw, &ro].map(|lines| lines.each_ref().map(String::as_str));
    let spec = r#"{"ociVersion":"1.2.0","root":{"path":"x","readonly":false}}"#;
    check(spec, true, &rw);
    check(spec, false, &ro);
    let spec = r#"{"ociVersion":"1.2.0","root":{"path":"x","readonly":true}}"#;
    check(spec, true, &ro);
}

#[test]
fn specification_has_its_own_file_there() {
    let spec = r#"{"ociVersion":"1.2.0","root":{"path":"x"},"mounts":[
        {"destination":"/etc//hosts/","source":"/own","options":["rbind"]},
        {"destination":"/etc","source":"/volume","options":["bind"]}]}"#;
    let expect = [
        "/etc//hosts/ /own rbind",
        "/etc /volume bind",
        "/etc/hostname /run/pod/hostname rw",
    ];
    check(spec, true, &expect);
}
