//! The end of a process is told once, and may be asked for again.

use super::*;

#[tokio::test]
async fn end_that_was_told_may_be_asked_for_again() {
    let (tell, told) = oneshot::channel();
    let mut exit = ProcessExit(Some(told));
    let early = timeout(Duration::from_millis(1), exit.wait()).await;
    assert!(early.is_err(), "it has not ended");
    tell.send(Ok(ExitStatus::Exited(3))).unwrap();
    assert_eq!(exit.wait().await.unwrap(), ExitStatus::Exited(3));
    for _ in 0..2 {
        assert!(matches!(exit.wait().await, Err(PodError::TornDown)));
    }
}
