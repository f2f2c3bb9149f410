//! Which files of a folder are used.

use super::*;

const VALID: &str = r#"{"cniVersion": "1.0.0", "name": "NAME", "plugins": [{"type": "a"}]}"#;
const SINGLE: &str = r#"{"cniVersion": "1.0.0", "name": "NAME", "type": "a"}"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn names(found: &Found) -> Vec<&str> {
    found.networks.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn first_valid_file_by_name_is_used() {
    let folder = folder(&[
        ("20-b.conflist", &VALID.replace("NAME", "b")),
        ("05-broken.conflist", "{"),
        ("10-a.conf", &SINGLE.replace("NAME", "a")),
        ("00-notes.txt", &VALID.replace("NAME", "notes")),
    ]);
    let found = read(folder.path(), 1).unwrap();
    assert_eq!(names(&found), ["a"]);
    assert_eq!(found.skipped.len(), 1);
    assert_eq!(found.skipped[0].file, "05-broken.conflist");
    assert!(found.skipped[0].reason.contains("read it as JSON"));
}

#[test]
fn several_networks_are_the_first_valid_ones() {
    let folder = folder(&[
        ("1.conflist", &VALID.replace("NAME", "a")),
        ("2.json", &SINGLE.replace("NAME", "b")),
        ("3.conflist", &VALID.replace("NAME", "c")),
    ]);
    assert_eq!(names(&read(folder.path(), 2).unwrap()), ["a", "b"]);
    assert_eq!(names(&read(folder.path(), 9).unwrap()), ["a", "b", "c"]);
}

#[test]
fn changed_folder_is_seen_at_the_next_read() {
    let folder = folder(&[("1.conflist", &VALID.replace("NAME", "a"))]);
    assert_eq!(names(&read(folder.path(), 1).unwrap()), ["a"]);
    fs::write(
        folder.path().join("0.conflist"),
        VALID.replace("NAME", "new"),
    )
    .unwrap();
    assert_eq!(names(&read(folder.path(), 1).unwrap()), ["new"]);
}

#[test]
fn folder_without_a_valid_file_says_what_was_tried() {
    let folder = folder(&[("1.conflist", "{}"), ("2.conf", &"x".repeat(1 << 21))]);
    fs::create_dir(folder.path().join("3.conflist")).unwrap();
    let text = read(folder.path(), 1).unwrap_err().to_string();
    for part in [
        "1.conflist: use it: plugins is missing",
        "2.conf: it is longer",
        "3.conflist: it is no regular file",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn missing_folder_is_named() {
    let error = read(Path::new("/nonexistent/net.d"), 1).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/net.d"), "{error}");
}

#[test]
fn sample_for_a_node_is_a_network() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cofferdam/node");
    // Beside it lie files for others, which a node has elsewhere.
    let name = "10-cofferdam.conflist";
    let folder = tempfile::tempdir().unwrap();
    fs::copy(samples.join(name), folder.path().join(name)).unwrap();
    let found = read(folder.path(), 1).unwrap();
    assert_eq!(names(&found), ["cofferdam"]);
    assert_eq!(found.skipped, []);
    let programs = found.networks[0].plugins.iter();
    let programs: Vec<_> = programs.map(|plugin| plugin.program.as_str()).collect();
    assert_eq!(programs, ["bridge", "portmap"]);
}
