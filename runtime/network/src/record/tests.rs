//! Records survive their writer; what is wrong with one is said.

use serde_json::json;

use super::*;
use crate::cni::CniVersion;

fn record(pod: &str) -> Record {
    let list = ConfList {
        name: "net".to_owned(),
        version: CniVersion::V1_0_0,
        disable_check: false,
        disable_gc: false,
        plugins: Vec::new(),
    };
    let joined = Joined {
        interface: "eth0".to_owned(),
        list,
        capabilities: Map::new(),
        result: Some(json!({"ips": []})),
    };
    Record::new(
        pod.parse().unwrap(),
        "IgnoreUnknown=1".to_owned(),
        vec![joined],
    )
}

#[test]
fn record_is_read_by_a_later_process_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (record("p1"), record("p2"));
    let records = Records::open(folder.path()).unwrap();
    records.write(&first).unwrap();
    records.write(&second).unwrap();

    let later = Records::open(folder.path()).unwrap();
    assert_eq!(later.list().unwrap(), [first.pod.clone(), second.pod]);
    assert_eq!(later.read(&first.pod).unwrap().as_ref(), Some(&first));
    later.remove(&first.pod).unwrap();
    later.remove(&first.pod).unwrap();
    assert_eq!(later.read(&first.pod).unwrap(), None);
}

#[test]
fn written_record_replaces_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(folder.path()).unwrap();
    let mut record = record("p1");
    records.write(&record).unwrap();
    record.networks.clear();
    records.write(&record).unwrap();
    assert_eq!(records.read(&record.pod).unwrap(), Some(record));
}

#[test]
fn half_written_record_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(folder.path()).unwrap();
    let young = records.path(&"p1".parse().unwrap(), YOUNG);
    fs::write(&young, "{").unwrap();
    let later = Records::open(folder.path()).unwrap();
    assert!(!young.exists());
    assert!(later.list().unwrap().is_empty());
}

#[test]
fn record_that_is_not_ours_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(folder.path()).unwrap();
    let pod: PodId = "p1".parse().unwrap();
    let check = |text: &str, reason: &str| {
        fs::write(records.path(&pod, SUFFIX), text).unwrap();
        let error = records.read(&pod).unwrap_err().to_string();
        assert!(
            error.contains("p1.json") && error.contains(reason),
            "{error}"
        );
    };
    check("{", "by hand");
    check(r#"{"version": 1}"#, "by hand");
    check(r#"{"version": 2, "new": {}}"#, "has version 2");
}

#[test]
fn record_that_cannot_be_written_leaves_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(folder.path()).unwrap();
    let record = record("p1");
    // In the way of the last step.
    fs::create_dir(records.path(&record.pod, SUFFIX)).unwrap();
    records.write(&record).unwrap_err();
    assert!(!records.path(&record.pod, YOUNG).exists());
}
