//! A run folder is owned while its record is locked, and swept when it is not.

use super::*;
use crate::cgroup::CgroupPlan;

fn create(dir: &Path, name: &str, lasting: bool) -> Result<RunFolder, RecordError> {
    create_with(dir, name, lasting, None, None)
}

fn create_with(
    dir: &Path,
    name: &str,
    lasting: bool,
    cgroup: Option<PathBuf>,
    host: Option<HostRecord>,
) -> Result<RunFolder, RecordError> {
    let record = Record {
        version: VERSION,
        pod: pod(name),
        owner_pid: std::process::id(),
        lasting,
        cgroup,
        scratch: None,
        host,
    };
    RunFolder::create_in(dir, &record)
}

fn soon() -> Deadlines {
    Deadlines::scaled(1)
}

fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

#[tokio::test]
async fn folder_of_a_living_owner_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = create(dir.path(), "a", false).unwrap();
    assert_eq!(
        sweep(dir.path(), soon()).await.unwrap(),
        Vec::<String>::new()
    );
    assert!(folder.path().join(RECORD).exists());
    folder.remove().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn folder_of_a_dead_owner_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    // Dropped without `remove`: what a killed process leaves.
    drop(create(dir.path(), "b", false).unwrap());
    assert_eq!(sweep(dir.path(), soon()).await.unwrap(), ["b"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn half_made_folder_is_left_until_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("young")).unwrap();
    let old = dir.path().join("old");
    fs::create_dir(&old).unwrap();
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    File::open(&old).unwrap().set_modified(hour_ago).unwrap();
    assert_eq!(sweep(dir.path(), soon()).await.unwrap(), ["old"]);
}

#[test]
fn same_pod_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = create(dir.path(), "c", false).unwrap();
    let second = create(dir.path(), "c", false);
    assert!(matches!(second, Err(RecordError::Exists { .. })));
}

#[tokio::test]
async fn missing_folder_has_nothing_to_sweep() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        sweep(&dir.path().join("none"), soon())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn pod_that_outlives_its_owner_is_left_to_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path(), "d", true).unwrap());
    assert!(sweep(dir.path(), soon()).await.unwrap().is_empty());
    let taken = RunFolder::take_over(dir.path(), &pod("d")).unwrap();
    // While somebody has it, nobody else gets it.
    let again = RunFolder::take_over(dir.path(), &pod("d"));
    assert!(matches!(again, Err(RecordError::Exists { .. })));
    assert!(sweep_lasting(dir.path(), soon()).await.unwrap().is_empty());
    drop(taken);
    assert_eq!(sweep_lasting(dir.path(), soon()).await.unwrap(), ["d"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn scratch_disk_that_a_dead_owner_left_goes_with_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::write(&disk, "layers").unwrap();
    let record = Record {
        version: VERSION,
        pod: pod("e"),
        owner_pid: std::process::id(),
        lasting: false,
        cgroup: None,
        scratch: Some(disk.clone()),
        host: None,
    };
    let pods = dir.path().join("pods");
    drop(RunFolder::create_in(&pods, &record).unwrap());
    assert_eq!(sweep(&pods, soon()).await.unwrap(), ["e"]);
    assert!(!disk.exists());
    // One that can't be removed keeps the folder, so that the next sweep finds it.
    fs::create_dir(&disk).unwrap();
    drop(RunFolder::create_in(&pods, &record).unwrap());
    assert!(sweep(&pods, soon()).await.unwrap().is_empty());
    assert!(pods.join("e").exists());
}

#[tokio::test]
async fn cgroup_that_a_dead_owner_left_goes_with_its_folder() {
    let Some(mount) = CgroupPlan::find_mount().unwrap() else {
        println!("skipped: this machine has no cgroup version 2");
        return;
    };
    let cgroup = mount.join(format!("cofferdam-test-sweep-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&cgroup) {
        println!("skipped: make {}: {error}", cgroup.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = create_with(dir.path(), "e", false, Some(cgroup.clone()), None).unwrap();
    assert_eq!(folder.cgroup().as_ref(), Some(&cgroup));
    drop(folder);
    // One that died between its record and its cgroup.
    let none = mount.join("cofferdam-test-never-made");
    drop(create_with(dir.path(), "f", false, Some(none), None).unwrap());
    let mut swept = sweep(dir.path(), soon()).await.unwrap();
    swept.sort();
    assert_eq!(swept, ["e", "f"]);
    assert!(!cgroup.exists());
}

#[test]
fn record_of_an_older_daemon_names_no_cgroup() {
    let text = r#"{"version":1,"pod":"a","owner_pid":1,"lasting":true}"#;
    let record: Record = serde_json::from_str(text).unwrap();
    assert_eq!(record.cgroup, None);
}

#[tokio::test]
async fn layers_of_a_pod_on_the_node_go_with_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let layers = dir.path().join("layers/g");
    fs::create_dir_all(layers.join("c1/upper")).unwrap();
    let host = HostRecord {
        layers: layers.clone(),
    };
    let pods = dir.path().join("pods");
    let folder = create_with(&pods, "g", true, None, Some(host.clone())).unwrap();
    assert_eq!(folder.host(), Some(host.clone()));
    drop(folder);
    assert_eq!(sweep_lasting(&pods, soon()).await.unwrap(), ["g"]);
    assert!(!layers.exists());
    // And where they were never made.
    drop(create_with(&pods, "g", true, None, Some(host)).unwrap());
    assert_eq!(sweep_lasting(&pods, soon()).await.unwrap(), ["g"]);
}
