//! A monitor that says nothing is given up when the caller's deadline has passed, not later.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn attach_to_a_silent_monitor_waits_as_long_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let _silent = run_folder::listen(folder.path()).unwrap();
    let request = Duration::from_millis(50);
    let deadlines = Deadlines {
        request,
        ..Deadlines::scaled(1000)
    };
    let began = Instant::now();
    let error = Monitor::attach(folder.path(), deadlines).await.unwrap_err();
    assert!(began.elapsed() >= request);
    let AttachError::Dumb { source, .. } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, RequestError::Late { deadline } if deadline == request));
    assert!(source.to_string().contains("50ms"), "{source}");
}
