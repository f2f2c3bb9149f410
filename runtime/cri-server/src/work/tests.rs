//! Tests of work that outlives its caller.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use super::*;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn work_whose_caller_stays_is_not_undone() {
    let made = finish_or_undo(async { Ok(7) }, |_| async { unreachable!() }).await;
    assert_eq!(made.unwrap(), 7);
}

#[tokio::test]
async fn work_whose_caller_left_is_finished_and_undone() {
    let (go, gone) = oneshot::channel::<()>();
    let (undone, seen) = oneshot::channel();
    let work = async move {
        gone.await.unwrap();
        Ok(7)
    };
    let call = finish_or_undo(work, |made| async move { undone.send(made).unwrap() });
    let left = timeout(Duration::from_millis(1), call).await;
    assert!(left.is_err(), "the caller gave up");
    go.send(()).unwrap();
    assert_eq!(timeout(SOON, seen).await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn work_that_failed_has_nothing_to_undo() {
    let work = async { Err::<u8, _>(Status::not_found("it")) };
    let result = finish_or_undo(work, |_| async { unreachable!() }).await;
    assert_eq!(result.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn work_whose_caller_left_is_finished() {
    let (go, gone) = oneshot::channel::<()>();
    let (done, seen) = oneshot::channel();
    let call = finish(async move {
        gone.await.unwrap();
        done.send(()).unwrap();
        Ok(())
    });
    assert!(timeout(Duration::from_millis(1), call).await.is_err());
    go.send(()).unwrap();
    timeout(SOON, seen).await.unwrap().unwrap();
}
