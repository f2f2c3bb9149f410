//! Folders of CDI files: names, ranks, conflicts, files that are broken.

use std::fs;

use tempfile::TempDir;

use super::*;

fn spec(kind: &str, name: &str, node: &str) -> String {
    format!(
        "{{\"cdiVersion\": \"0.5.0\", \"kind\": \"{kind}\", \"devices\": [{{\"name\": \"{name}\", \"containerEdits\": \
         {{\"deviceNodes\": [{{\"path\": \"{node}\"}}]}}}}], \"containerEdits\": {{\"env\": [\"A=b\"]}}}}"
    )
}

/// Two folders with these files, and what they say.
fn load(files: &[(&str, &str)]) -> (TempDir, Cdi) {
    let root = tempfile::tempdir().unwrap();
    let folders = [root.path().join("etc"), root.path().join("run")];
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let cdi = Cdi::load(&folders);
    (root, cdi)
}

fn node(device: &CdiDevice) -> &str {
    device.edits.device_nodes.first().unwrap().on_host()
}

#[test]
fn names_of_both_folders_and_formats_are_known() {
    let yaml = "cdiVersion: 1.0.0\nkind: a.b/gpu\ndevices: [{name: all}]\n";
    let (_root, cdi) = load(&[
        ("etc/a.json", &spec("nvidia.com/pgpu", "8", "/dev/vfio/8")),
        ("run/b.yaml", yaml),
        ("run/c.txt", "not a spec"),
        ("run/d.json.tmp", "{"),
    ]);
    assert_eq!(
        cdi.names().collect::<Vec<_>>(),
        ["a.b/gpu=all", "nvidia.com/pgpu=8"]
    );
    assert!(cdi.broken().is_empty());
    let device = cdi.device("nvidia.com/pgpu=8").unwrap();
    assert_eq!(node(device), "/dev/vfio/8");
    assert_eq!(device.edits.env, ["A=b"]);
}

#[test]
fn name_in_both_folders_is_the_later_ones() {
    let (_root, cdi) = load(&[
        ("etc/a.json", &spec("n.com/g", "8", "/dev/vfio/8")),
        ("run/a.json", &spec("n.com/g", "8", "/dev/vfio/9")),
    ]);
    assert_eq!(node(cdi.device("n.com/g=8").unwrap()), "/dev/vfio/9");
}

#[test]
fn name_twice_in_a_folder_is_a_conflict_of_that_name_only() {
    let (root, cdi) = load(&[
        ("run/a.json", &spec("n.com/g", "8", "/dev/vfio/8")),
        ("run/b.json", &spec("n.com/g", "8", "/dev/vfio/9")),
        ("run/c.json", &spec("n.com/g", "9", "/dev/vfio/9")),
    ]);
    let error = cdi.device("n.com/g=8").unwrap_err().to_string();
    let run = root.path().join("run");
    let run = run.display();
    assert_eq!(
        error,
        format!(
            "n.com/g=8 stands in {run}/a.json and in {run}/b.json: remove the one that is out of date"
        )
    );
    assert_eq!(node(cdi.device("n.com/g=9").unwrap()), "/dev/vfio/9");
}

#[test]
fn name_unknown_tells_of_files_that_are_broken() {
    let (_root, cdi) = load(&[]);
    let error = cdi.device("n.com/g=8").unwrap_err().to_string();
    assert_eq!(error, "no CDI file says what n.com/g=8 is");
    let (_root, cdi) = load(&[
        ("run/a.json", "{"),
        ("run/b.json", &spec("n.com/g", "9", "/dev/vfio/9")),
    ]);
    let error = cdi.device("n.com/g=8").unwrap_err().to_string();
    assert!(
        error.contains("; not understood: /") && error.ends_with("run/a.json"),
        "{error}"
    );
    assert!(cdi.device("n.com/g=9").is_ok());
    let (path, error) = cdi.broken().first().unwrap();
    let error = model::chain(error);
    assert!(
        error.starts_with(&format!("understand {}: parse JSON", path.display())),
        "{error}"
    );
}

#[test]
fn link_that_leads_nowhere_is_broken_and_a_folder_is_no_file() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a.json")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.path().join("b.yaml")).unwrap();
    let cdi = Cdi::load(&[root.path().to_owned()]);
    let broken: Vec<_> = cdi.broken().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(broken, [root.path().join("b.yaml")]);
}

#[test]
fn file_too_large_or_no_text_is_broken() {
    let large = " ".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1);
    let (root, _cdi) = load(&[("run/a.json", &large)]);
    fs::write(root.path().join("run/b.json"), [0xff, 0xfe]).unwrap();
    let cdi = Cdi::load(&[root.path().join("run")]);
    let said: Vec<_> = cdi
        .broken()
        .iter()
        .map(|(_, error)| error.to_string())
        .collect();
    assert!(said.first().unwrap().contains("has more than"), "{said:?}");
    assert!(said.get(1).unwrap().starts_with("read "), "{said:?}");
}
