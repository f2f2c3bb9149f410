//! When an output ends. Time is tokio's and stands still while something can run.

use pod::pieces;
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};

use super::*;

const QUIET: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn output_goes_on_while_the_input_is_open() {
    let (to, from) = pieces(4);
    let (input, ended) = oneshot::channel();
    let mut output = Ending::new(from, Some(ended), (QUIET, DRAIN));
    let mut byte = [0];
    let nothing = timeout(DRAIN * 10, output.read(&mut byte)).await;
    assert!(nothing.is_err(), "it waits");
    to.send("x".into()).await.unwrap();
    assert_eq!(output.read(&mut byte).await.unwrap(), 1);
    drop(to);
    assert_eq!(output.read(&mut byte).await.unwrap(), 0);
    drop(input);
}

#[tokio::test(start_paused = true)]
async fn output_without_input_ends_with_itself_only() {
    let (to, from) = pieces(4);
    let mut output = Ending::new(from, None, (QUIET, DRAIN));
    let mut byte = [0];
    assert!(timeout(DRAIN * 10, output.read(&mut byte)).await.is_err());
    drop(to);
    assert_eq!(output.read(&mut byte).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn output_ends_when_it_is_quiet_after_the_input() {
    let (to, from) = pieces(4);
    let (input, ended) = oneshot::channel::<()>();
    let mut output = Ending::new(from, Some(ended), (QUIET, DRAIN));
    drop(input);
    let answer = tokio::spawn(async move {
        sleep(QUIET / 2).await;
        to.send("answer".into()).await.unwrap();
        sleep(DRAIN * 10).await;
        drop(to);
    });
    let begun = Instant::now();
    let mut text = String::new();
    output.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
    assert_eq!(begun.elapsed(), QUIET / 2 + QUIET);
    answer.abort();
}

#[tokio::test(start_paused = true)]
async fn output_that_is_never_quiet_ends_all_the_same() {
    let (to, from) = pieces(4);
    let (input, ended) = oneshot::channel::<()>();
    let mut output = Ending::new(from, Some(ended), (QUIET, DRAIN));
    drop(input);
    let talk = tokio::spawn(async move {
        while to.send("x".into()).await.is_ok() {
            sleep(QUIET / 4).await;
        }
    });
    let begun = Instant::now();
    let mut all = Vec::new();
    output.read_to_end(&mut all).await.unwrap();
    assert!(begun.elapsed() >= DRAIN && begun.elapsed() <= DRAIN + QUIET);
    assert!(all.len() >= 20, "{}", all.len());
    talk.abort();
}
