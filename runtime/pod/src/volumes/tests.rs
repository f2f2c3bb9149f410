//! What is read of the host, what is written back, and that names tell volumes apart.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use agent_client::{TreeEntry, TreeKind};

use super::*;

fn shown(tree: &[TreeEntry]) -> Vec<String> {
    let mut all: Vec<_> = tree
        .iter()
        .map(|entry| {
            let what = match &entry.kind {
                TreeKind::Folder { mode } => format!("{mode:o}/"),
                TreeKind::File { mode, content } => {
                    format!("{mode:o} {}", String::from_utf8_lossy(content))
                }
                TreeKind::Link { target } => format!("-> {target}"),
            };
            format!("{} {what}", entry.path)
        })
        .collect();
    all.sort();
    all
}

/// As the kubelet has one, in the midst of its cleaning up.
fn config_map() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    for version in ["..1", "..2"] {
        fs::create_dir_all(path.join(version)).unwrap();
        fs::write(path.join(version).join("a"), version).unwrap();
    }
    fs::set_permissions(path.join("..2/a"), fs::Permissions::from_mode(0o400)).unwrap();
    symlink("..2", path.join("..data")).unwrap();
    symlink("..3", path.join("..data_tmp")).unwrap();
    symlink("..data/a", path.join("a")).unwrap();
    (folder, path)
}

async fn check_refused(path: PathBuf, words: &str) {
    let error = read::tree(path).await.unwrap_err();
    let text = model::chain(&error);
    assert!(text.contains(words), "{text}");
}

#[tokio::test]
async fn present_version_of_a_config_map_is_read_and_no_other() {
    let (_folder, path) = config_map();
    let tree = read::tree(path).await.unwrap();
    assert_eq!(
        shown(&tree),
        [
            " 755/",
            "..2 755/",
            "..2/a 400 ..2",
            "..data -> ..2",
            "a -> ..data/a"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_copied_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v");
    check_refused(path.clone(), "No such file").await;
    fs::create_dir(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    check_refused(path.clone(), "v/socket is a socket").await;
    fs::remove_file(path.join("socket")).unwrap();
    let large = fs::File::create(path.join("large")).unwrap();
    large.set_len(agent_client::MOST_TREE_BYTES + 1).unwrap();
    check_refused(path.clone(), "v is too large").await;
    fs::remove_file(path.join("large")).unwrap();
    // A version that is not there is one that always changes.
    symlink("..gone", path.join("..data")).unwrap();
    let tree = read::tree(path).await.unwrap();
    assert_eq!(shown(&tree), [" 755/", "..data -> ..gone"]);
}

#[tokio::test]
async fn file_is_copied_under_a_name_of_ours_and_no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    fs::write(&path, "127.0.0.1 localhost\n").unwrap();
    let (tree, sub_path) = read::copy(path).await.unwrap();
    assert_eq!(sub_path, "file");
    assert_eq!(shown(&tree), [" 755/", "file 644 127.0.0.1 localhost\n"]);
}

#[tokio::test]
async fn only_a_regular_file_that_is_there_is_written_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let link = folder.path().join("link");
    symlink(&file, &link).unwrap();
    assert!(
        write_back::write(file.clone(), b"x".to_vec())
            .await
            .is_err()
    );
    assert!(!file.exists());
    fs::write(&file, "something longer").unwrap();
    write_back::write(file.clone(), b"the end".to_vec())
        .await
        .unwrap();
    assert!(write_back::write(link, b"x".to_vec()).await.is_err());
    let folder = folder.path().to_owned();
    assert!(write_back::write(folder, b"x".to_vec()).await.is_err());
    assert_eq!(fs::read_to_string(file).unwrap(), "the end");
}

#[test]
fn names_tell_volumes_apart_and_stay_the_same() {
    let (one, two) = ("c1".parse().unwrap(), "c2".parse().unwrap());
    let names = [
        of_container(&one, 0).unwrap(),
        of_container(&one, 1).unwrap(),
        of_container(&two, 0).unwrap(),
        of_pod("files", Path::new("/a")).unwrap(),
        of_pod("memory", Path::new("/a")).unwrap(),
    ];
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
    // A daemon of another build finds them again.
    assert_eq!(
        of_container(&one, 0).unwrap().as_str(),
        "v-cbe67a4508c1212c7a6a7b3511075740edb67372"
    );
}

#[test]
fn guest_leaves_it_to_the_host_which_part_of_a_share_is_read_only() {
    let check = |source: Source, recursive_read_only, (served, expect)| {
        let mount = Mount {
            destination: "/v".to_owned(),
            read_only: true,
            recursive_read_only,
            receives_mounts: false,
            map_owners: false,
            shares_mounts: false,
        };
        let mounted = Mounted { mount, source };
        assert_eq!(
            (access(&mounted), in_guest(&mounted).read_only),
            (served, expect)
        );
    };
    let share = || Source::Host(HostVolume::Share { path: "/h".into() });
    let copy = Source::Host(HostVolume::Copy { path: "/h".into() });
    let own = || Source::Host(HostVolume::Own { path: "/h".into() });
    check(share(), false, (Access::ReadOnly, false));
    check(share(), true, (Access::RecursiveReadOnly, true));
    check(own(), false, (Access::Writable, true));
    check(own(), true, (Access::Writable, true));
    check(copy, false, (Access::ReadOnly, true));
}
