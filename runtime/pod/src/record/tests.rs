//! A run folder is owned while its record is locked, and swept when it is not.

use super::*;

const ENDS: Lifetime = Lifetime::WithLauncher;

fn soon() -> Deadlines {
    Deadlines::scaled(1)
}

fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

#[tokio::test]
async fn folder_of_a_living_owner_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), &pod("a"), &ENDS).unwrap();
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
    drop(RunFolder::create(dir.path(), &pod("b"), &ENDS).unwrap());
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
    let _first = RunFolder::create(dir.path(), &pod("c"), &ENDS).unwrap();
    let second = RunFolder::create(dir.path(), &pod("c"), &ENDS);
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

fn lasts() -> Lifetime {
    let records_dir = "/nowhere".into();
    Lifetime::UntilRemoved { records_dir }
}

#[tokio::test]
async fn pod_that_outlives_its_owner_is_left_to_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunFolder::create(dir.path(), &pod("d"), &lasts()).unwrap());
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
