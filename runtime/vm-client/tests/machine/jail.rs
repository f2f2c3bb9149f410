//! The jail from outside: what /proc says about a running monitor.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    guest,
    stage::{SOON, Scene, soon},
};

async fn look(check: impl FnOnce(&Path)) {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    check(&PathBuf::from(format!("/proc/{}", monitor.pid().unwrap())));
    soon(monitor.stop(SOON)).await;
}

fn fields(status: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(status).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn check_thread(status: &BTreeMap<String, String>) {
    let name = &status["Name"];
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set} of {name}");
    }
    assert_eq!(status["NoNewPrivs"], "1", "{name}");
    assert_eq!(status["Seccomp"], "2", "{name}");
    for ids in ["Uid", "Gid"] {
        assert_eq!(status[ids], "60123\t60123\t60123\t60123", "{name}");
    }
    assert_eq!(status["Groups"], "", "{name}");
}

#[tokio::test]
async fn every_thread_is_without_privileges_and_under_a_filter() {
    look(|process| {
        let tasks = fs::read_dir(process.join("task")).unwrap();
        let mut threads: Vec<_> = tasks
            .map(|task| fields(&task.unwrap().path().join("status")))
            .collect();
        // Helper threads of the kernel's KVM run no code of ours.
        threads.retain(|status| !status["Name"].starts_with("kvm-"));
        threads.iter().for_each(check_thread);
        // Main, devices, two processors.
        assert_eq!(threads.len(), 4);
        let status = fields(&process.join("status"));
        assert_eq!(status["NSpid"].split_whitespace().last(), Some("1"));
    })
    .await;
}

#[tokio::test]
async fn every_namespace_is_its_own() {
    look(|process| {
        for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            let of = |path: &Path| fs::read_link(path.join("ns").join(name)).unwrap();
            assert_ne!(of(process), of(Path::new("/proc/self")), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn root_is_empty_read_only_and_alone() {
    look(|process| {
        assert_eq!(fs::read_dir(process.join("root")).unwrap().count(), 0);
        let error = fs::write(process.join("root/x"), "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        assert!(mounts.contains(" - tmpfs "), "{mounts}");
    })
    .await;
}

#[tokio::test]
async fn descriptors_are_only_those_of_the_machine() {
    // One that is inherited must not arrive.
    let leak = fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    look(|process| {
        for entry in fs::read_dir(process.join("fd")).unwrap() {
            let target = fs::read_link(entry.unwrap().path()).unwrap();
            let target = target.to_str().unwrap();
            let known = [
                "anon_inode:",
                "socket:",
                "/dev/null",
                "/dev/kvm",
                "/memfd:complaint",
            ];
            assert!(
                known.iter().any(|start| target.starts_with(start)),
                "{target}"
            );
        }
    })
    .await;
    drop(leak);
}

#[tokio::test]
async fn limits_leave_no_core_file_behind() {
    look(|process| {
        let limits = fs::read_to_string(process.join("limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(
            core.split_whitespace().collect::<Vec<_>>()[4..6],
            ["0", "0"]
        );
        let stat = fs::read_to_string(process.join("stat")).unwrap();
        // A session of its own: the fields behind the name are state, parent, group, session.
        let behind = stat.rsplit_once(") ").unwrap().1.to_owned();
        let numbers: Vec<&str> = behind.split_whitespace().collect();
        let pid = process.file_name().unwrap().to_str().unwrap();
        assert_eq!(numbers[3], pid);
    })
    .await;
}
