//! Real cgroups of this machine, where it has version 2 and this process may make some.

use std::process::{Child, Command, Stdio};

use super::*;

const SOON: Duration = Duration::from_secs(30);

/// A cgroup of the test's own, with nothing in it.
struct Room(PathBuf);

impl Room {
    /// None, said aloud, where there can be none.
    fn new(test: &str) -> Option<Self> {
        let Some(mount) = CgroupPlan::find_mount().unwrap() else {
            println!("skipped: this machine has no cgroup version 2");
            return None;
        };
        let folder = mount.join(format!("cofferdam-test-{test}-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&folder) {
            println!("skipped: make {}: {error}", folder.display());
            return None;
        }
        Some(Self(folder))
    }

    fn plan(&self, parent: &str) -> CgroupPlan {
        CgroupPlan {
            mount: self.0.clone(),
            driver: CgroupDriver::Cgroupfs,
            parent: CgroupParent::plain(parent).unwrap(),
        }
    }

    fn children(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        remove(&self.0, SOON).ok();
    }
}

fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

fn sleeper() -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null()).spawn().unwrap()
}

fn enter(cgroup: &Cgroup, child: &Child) {
    use io::Write;
    let mut processes = cgroup.processes().unwrap();
    write!(processes, "{}", child.id()).unwrap();
}

#[tokio::test]
async fn cgroup_with_a_process_left_in_it_is_killed_and_removed_with_the_parents_made_for_it() {
    let Some(room) = Room::new("left") else {
        return;
    };
    let plan = room.plan("/kubepods/pod1");
    let cgroup = Cgroup::planned(&plan, &pod("one"));
    cgroup.make(plan).await.unwrap();
    assert!(cgroup.path().ends_with("kubepods/pod1/cofferdam-one"));
    let mut child = sleeper();
    enter(&cgroup, &child);
    let where_it_is = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let v2 = where_it_is.lines().find(|line| line.starts_with("0::"));
    assert!(
        v2.unwrap().ends_with("/kubepods/pod1/cofferdam-one"),
        "{where_it_is}"
    );
    // A group that a process made below.
    fs::create_dir(cgroup.path().join("nested")).unwrap();
    cgroup.remove(SOON).await.unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(room.children(), Vec::<String>::new());
    // A teardown may run twice.
    cgroup.remove(SOON).await.unwrap();
}

#[tokio::test]
async fn parent_goes_with_its_last_pod_and_one_that_others_made_stays() {
    let Some(room) = Room::new("last") else {
        return;
    };
    fs::create_dir(room.0.join("kubelets")).unwrap();
    let plan = room.plan("kubelets/ours");
    let (one, two) = (
        Cgroup::planned(&plan, &pod("one")),
        Cgroup::planned(&plan, &pod("two")),
    );
    one.make(plan.clone()).await.unwrap();
    two.make(plan).await.unwrap();
    one.remove(SOON).await.unwrap();
    assert!(two.path().is_dir());
    two.remove(SOON).await.unwrap();
    assert!(!room.0.join("kubelets/ours").exists());
    assert_eq!(room.children(), ["kubelets"]);
}

async fn come_and_go(plan: CgroupPlan, task: u32) {
    for round in 0..25 {
        let cgroup = Cgroup::planned(&plan, &pod(&format!("p{task}-{round}")));
        cgroup.make(plan.clone()).await.unwrap();
        cgroup.remove(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn pods_that_come_and_go_at_once_do_not_take_each_others_parent_away() {
    let Some(room) = Room::new("race") else {
        return;
    };
    let plan = room.plan("shared");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        tasks.spawn(come_and_go(plan.clone(), task));
    }
    tasks.join_all().await;
    assert_eq!(room.children(), Vec::<String>::new());
}

#[tokio::test]
async fn cgroup_that_may_not_be_made_is_refused_with_what_to_do() {
    // No folder can be made in sysfs, whoever asks.
    let plan = CgroupPlan {
        mount: "/sys/kernel".into(),
        driver: CgroupDriver::Systemd,
        parent: CgroupParent::plain("cofferdam").unwrap(),
    };
    let cgroup = Cgroup::planned(&plan, &pod("one"));
    assert!(cgroup.path().ends_with("cofferdam-one.scope"));
    let error = cgroup.make(plan).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/sys/kernel/cofferdam"), "{text}");
    assert!(text.contains("run as root"), "{text}");
}

#[test]
fn mount_is_the_usual_one_if_there_are_several() {
    let line = |place: &str, kind: &str| format!("30 24 0:26 / {place} rw - {kind} none rw\n");
    let hybrid = line("/sys/fs/cgroup", "tmpfs") + &line("/sys/fs/cgroup/unified", "cgroup2");
    let check = |mounts: &str, expect: Option<&str>| {
        assert_eq!(mount_in(mounts), expect.map(PathBuf::from), "{mounts}");
    };
    check(&hybrid, Some("/sys/fs/cgroup/unified"));
    let both = line("/mnt", "cgroup2") + &line("/sys/fs/cgroup", "cgroup2");
    check(&both, Some("/sys/fs/cgroup"));
    check(&line("/sys/fs/cgroup/cpu", "cgroup"), None);
}
