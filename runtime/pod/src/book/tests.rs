//! What is written is read back, and what is broken is named and stays.

use model::ExitStatus;
use serde_json::json;

use super::*;
use crate::{
    container::{ContainerPhase, Exit, ExitCause},
    home::ImagePlace,
};

fn record() -> PodRecord {
    PodRecord::new(
        "p1".parse().unwrap(),
        json!({"name": "web"}),
        7,
        "web".to_owned(),
    )
}

fn container(id: &str, phase: ContainerPhase) -> Container {
    Container {
        id: id.parse().unwrap(),
        note: json!([1, 2]),
        spec: model::ContainerSpec {
            no_new_privileges: true,
            ..model::ContainerSpec::new(vec!["sh".to_owned()])
        },
        created_at_ns: 8,
        phase,
        user: Some(model::Identity {
            uid: 1,
            gid: 2,
            groups: vec![3],
        }),
        log: Some("/var/log/x".into()),
        writable_bytes: 4096,
        image: Some(ImagePlace::Disk("0000:00:04.0".parse().unwrap())),
        mounts: Vec::new(),
        disks: vec!["0000:00:07.0".parse().unwrap()],
    }
}

#[tokio::test]
async fn record_is_read_back_as_it_was_written_last() {
    let dir = tempfile::tempdir().unwrap();
    let all = dir.path().join("deep/records");
    let book = Book::create(&all, record()).await.unwrap();
    let exited = ContainerPhase::Exited(Exit {
        started_at_ns: Some(9),
        finished_at_ns: 10,
        cause: ExitCause::Ended(ExitStatus::OutOfMemory { code: 137 }),
    });
    for phase in [ContainerPhase::Created, exited.clone()] {
        book.save_container(container("c1", phase)).await.unwrap();
    }
    book.save_container(container("c2", ContainerPhase::Starting))
        .await
        .unwrap();
    book.forget_container(&"c2".parse().unwrap()).await.unwrap();
    book.forget_container(&"c2".parse().unwrap()).await.unwrap();
    let mut stopped = record();
    stopped.stages = vec![Stage {
        name: "guest booted".into(),
        took: std::time::Duration::from_micros(1234),
    }];
    stopped.phase = PodPhase::Stopped {
        cause: Some("panic".to_owned()),
    };
    book.save_pod(stopped.clone()).await.unwrap();

    let read = Book::read(&all.join("p1")).unwrap();
    assert_eq!(read.pod.phase, stopped.phase);
    assert_eq!(read.pod.stages, stopped.stages);
    assert_eq!(read.pod.note, json!({"name": "web"}));
    assert!(read.broken.is_empty());
    let [only] = &read.containers[..] else {
        panic!("{:?}", read.containers)
    };
    assert_eq!(only.phase, exited);
    assert_eq!(only.image, container("c1", ContainerPhase::Created).image);

    book.remove().await.unwrap();
    book.remove().await.unwrap();
    assert_eq!(fs::read_dir(&all).unwrap().count(), 0);
}

#[tokio::test]
async fn broken_container_is_named_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::create(dir.path(), record()).await.unwrap();
    book.save_container(container("good", ContainerPhase::Created))
        .await
        .unwrap();
    let half = dir.path().join("p1/half.container.json");
    fs::write(&half, b"{\"id\":\"ha").unwrap();
    // A file that a killed writer did not get to rename.
    fs::write(dir.path().join("p1/late.container.json.new"), b"{").unwrap();

    let read = Book::read(&dir.path().join("p1")).unwrap();
    assert_eq!(read.containers.len(), 1);
    let [(path, error)] = &read.broken[..] else {
        panic!("{:?}", read.broken)
    };
    assert_eq!(*path, half);
    assert!(error.to_string().contains("half.container.json"), "{error}");
    assert!(half.exists());
}

#[test]
fn folder_without_a_pod_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = Book::read(dir.path()).unwrap_err();
    assert!(error.to_string().contains("pod.json"), "{error}");
}

#[test]
fn record_of_another_size_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join(POD)).unwrap();
    file.set_len(MOST_BYTES + 1).unwrap();
    let error = Book::read(dir.path()).unwrap_err();
    let RecordError::Io { source, .. } = error else {
        panic!("{error}")
    };
    assert!(source.to_string().contains("at most"), "{source}");
}

#[tokio::test]
async fn second_record_of_a_pod_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Book::create(dir.path(), record()).await.unwrap();
    assert!(Book::create(dir.path(), record()).await.is_err());
}
