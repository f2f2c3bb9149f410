//! Whoever reads gets all, whoever doesn't costs the others a bounded time. Time is tokio's and stands still while something can run.

use tokio::io::AsyncReadExt;

use super::*;
use crate::pieces::{PieceReader, pieces};

const PATIENCE: Duration = Duration::from_secs(10);
const QUEUE: usize = 2;

struct Client {
    stdout: PieceReader,
    stderr: PieceReader,
    reason: oneshot::Receiver<String>,
}

fn attach(tee: &mut Tee) -> Client {
    let (to_stdout, stdout) = pieces(QUEUE);
    let (to_stderr, stderr) = pieces(QUEUE);
    let (cut_off, reason) = oneshot::channel();
    assert!(tee.add(Listener {
        stdout: Some(to_stdout),
        stderr: Some(to_stderr),
        cut_off,
    }));
    Client {
        stdout,
        stderr,
        reason,
    }
}

async fn text(mut reader: PieceReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn everyone_gets_both_streams_and_their_ends() {
    let mut tee = Tee::new(PATIENCE);
    let (one, two) = (attach(&mut tee), attach(&mut tee));
    tee.send(Stream::Stdout, &Bytes::from_static(b"out")).await;
    tee.send(Stream::Stderr, &Bytes::from_static(b"err")).await;
    tee.end(Stream::Stdout);
    assert_eq!(text(one.stdout).await, "out");
    assert_eq!(text(two.stdout).await, "out");
    tee.send(Stream::Stderr, &Bytes::from_static(b" more"))
        .await;
    drop(tee);
    assert_eq!(text(one.stderr).await, "err more");
    assert_eq!(text(two.stderr).await, "err more");
    assert!(one.reason.await.is_err(), "an end needs no reason");
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_is_cut_off_with_the_reason_and_others_miss_nothing() {
    let mut tee = Tee::new(PATIENCE);
    let (slow, quick) = (attach(&mut tee), attach(&mut tee));
    let reading = tokio::spawn(text(quick.stdout));
    let begun = Instant::now();
    for _ in 0..100 {
        tee.send(Stream::Stdout, &Bytes::from_static(b"0123456789"))
            .await;
    }
    assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    drop(tee);
    assert_eq!(reading.await.unwrap().len(), 1000);
    let reason = slow.reason.await.unwrap();
    assert!(reason.contains("not read for 10 s"), "{reason}");
    // It has what it was sent before.
    assert_eq!(text(slow.stdout).await.len(), 10 * QUEUE);
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_now_and_then_is_waited_for_no_longer_in_all() {
    let mut tee = Tee::new(PATIENCE);
    let mut drip = attach(&mut tee);
    let reading = tokio::spawn(async move {
        let mut byte = [0; 10];
        while drip.stdout.read(&mut byte).await.unwrap() > 0 {
            tokio::time::sleep(PATIENCE / 4).await;
        }
        drip.reason.await
    });
    let begun = Instant::now();
    for _ in 0..100 {
        tee.send(Stream::Stdout, &Bytes::from_static(b"0123456789"))
            .await;
    }
    assert!(begun.elapsed() <= PATIENCE + PATIENCE / 4);
    assert!(reading.await.unwrap().is_ok(), "it hears the reason");
}

#[tokio::test(start_paused = true)]
async fn client_that_catches_up_is_forgiven() {
    let mut tee = Tee::new(PATIENCE);
    let mut client = attach(&mut tee);
    let piece = Bytes::from_static(b"x");
    let mut all = [0; 64];
    for _ in 0..5 {
        for _ in 0..QUEUE {
            tee.send(Stream::Stdout, &piece).await;
        }
        let read = async {
            tokio::time::sleep(PATIENCE / 2).await;
            assert_eq!(client.stdout.read(&mut all).await.unwrap(), 1);
        };
        tokio::join!(tee.send(Stream::Stdout, &piece), read);
        // Everything is read before the next round.
        for _ in 0..QUEUE {
            assert_eq!(client.stdout.read(&mut all).await.unwrap(), 1);
        }
    }
    assert!(client.reason.try_recv().is_err());
}

#[tokio::test]
async fn clients_are_bounded_and_those_that_left_make_room() {
    let mut tee = Tee::new(PATIENCE);
    let mut clients: Vec<_> = (0..LISTENERS).map(|_| attach(&mut tee)).collect();
    let (cut_off, reason) = oneshot::channel();
    let more = Listener {
        stdout: None,
        stderr: None,
        cut_off,
    };
    assert!(!tee.add(more));
    assert!(reason.await.is_err());
    clients.pop();
    let last = attach(&mut tee);
    drop((clients, last));
    tee.send(Stream::Stdout, &Bytes::from_static(b"x")).await;
    assert!(tee.places.is_empty());
}
