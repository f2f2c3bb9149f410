//! Connections that are cut, stall or bring nothing, and pulls that nobody waits for any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use images::Reference;
use registry::{AuthConfig, Kind, Patience, Progress, Puller};
use tokio::sync::{Semaphore, watch};

use crate::bench::{Bench, Content, NAME, SOON, hosts, pull, refused, until};
use crate::server::{Reply, Server};

#[tokio::test]
async fn cut_layer_goes_on_where_it_was_cut() {
    let content = Content::app();
    let layer = content.layers[2].clone();
    let server = Server::start(move |request| {
        let mut reply = content.reply(request);
        if content.is_layer(request, 2) && request.earlier < 3 {
            reply.cut = Some(100_000);
        }
        reply
    })
    .await;
    let bench = Bench::new();
    pull(&bench.puller(hosts(&[], &server.url())), NAME)
        .await
        .unwrap();
    let seen = server.seen();
    let asked = seen.iter().filter(|request| request.path.ends_with(&layer));
    let starts: Vec<_> = asked.map(|request| request.from).collect();
    assert_eq!(starts, [0, 100_000, 200_000, 300_000]);
}

#[tokio::test]
async fn cut_layer_goes_on_at_the_next_host_and_where_ranges_are_ignored() {
    let content = Arc::new(Content::app());
    let good = content.clone();
    // From here on it fails, and what it sent is not asked for again.
    let mirror = Server::start(move |request| {
        let layer = good.is_layer(request, 2);
        let reply = good.reply(request);
        let reply = reply.when(layer, |reply| reply.cut = Some(200_000));
        reply.when(layer && request.earlier > 0, |reply| {
            *reply = Reply::status(500)
        })
    })
    .await;
    let good = content.clone();
    let registry = Server::start(move |request| {
        let from = 0;
        good.reply(&crate::server::Request {
            from,
            ..request.clone()
        })
    })
    .await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[&mirror.url()], &registry.url()));
    pull(&puller, NAME).await.unwrap();
    let seen = registry.seen();
    let starts: Vec<_> = seen.iter().map(|request| request.from).collect();
    assert_eq!(starts, [200_000]);
}

/// A registry whose third layer answers so; the pull must fail and leave nothing.
async fn check(
    patience: Patience,
    layer: impl Fn(&Content, &crate::server::Request) -> Reply + Send + Sync + 'static,
    kind: Kind,
    expect: &str,
) -> Server {
    let content = Content::app();
    let server = Server::start(move |request| {
        if content.is_layer(request, 2) {
            layer(&content, request)
        } else {
            content.reply(request)
        }
    })
    .await;
    let bench = Bench::new();
    let before = bench.snapshot();
    let puller = Puller::new(bench.store.clone(), hosts(&[], &server.url()), patience).unwrap();
    refused(pull(&puller, NAME).await, kind, expect);
    bench.expect_unchanged(&before).await;
    server
}

fn patience() -> Patience {
    crate::bench::patience()
}

#[tokio::test]
async fn layer_that_never_goes_on_is_given_up() {
    let nothing = |content: &Content, request: &crate::server::Request| Reply {
        cut: Some(if request.from == 0 { 1000 } else { 0 }),
        ..content.reply(request)
    };
    let expect = "the connection broke after 1000 of ";
    let server = check(patience(), nothing, Kind::Unavailable, expect).await;
    let tries = server
        .seen()
        .iter()
        .filter(|request| request.from == 1000)
        .count();
    assert_eq!(tries, 3, "three times in a row without a byte");
    let short = |content: &Content, request: &crate::server::Request| {
        let mut reply = content.reply(request);
        reply
            .body
            .truncate(if request.from == 0 { 1000 } else { 0 });
        reply
    };
    check(
        patience(),
        short,
        Kind::Unavailable,
        "the answer ends there",
    )
    .await;
    let drip = |content: &Content, request: &crate::server::Request| Reply {
        cut: Some(1),
        ..content.reply(request)
    };
    let server = check(patience(), drip, Kind::Unavailable, "broke after 100 of").await;
    assert_eq!(
        server
            .seen()
            .iter()
            .filter(|request| request.from > 0)
            .count(),
        99
    );
}

#[tokio::test]
async fn layer_whose_range_is_another_is_refused() {
    let other = |content: &Content, request: &crate::server::Request| {
        let mut reply = content.reply(request);
        if request.from == 0 {
            reply.cut = Some(1000);
        } else {
            reply.headers = vec![("Content-Range", "bytes 5000-5999/6000".to_owned())];
        }
        reply
    };
    check(
        patience(),
        other,
        Kind::Other,
        "the bytes from 1000 on, it sends others",
    )
    .await;
}

#[tokio::test]
async fn layer_that_stalls_is_given_up() {
    let patience = Patience {
        stall: Duration::from_millis(20),
        ..patience()
    };
    let shut = Arc::new(Semaphore::new(0));
    let stall = move |content: &Content, request: &crate::server::Request| Reply {
        gate: Some((if request.from == 0 { 1000 } else { 0 }, shut.clone())),
        ..content.reply(request)
    };
    let expect = "broke after 1000 of 601600 bytes: nothing arrived for 0.02 s";
    check(patience, stall, Kind::Unavailable, expect).await;
}

#[tokio::test]
async fn host_that_does_not_answer_is_given_up() {
    // It accepts and says nothing: the kernel completes the handshake from the backlog.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let patience = Patience {
        connect: Duration::from_millis(10),
        answer: Duration::from_millis(10),
        ..patience()
    };
    let bench = Bench::new();
    let puller = Puller::new(bench.store.clone(), hosts(&[], &url), patience).unwrap();
    refused(
        pull(&puller, NAME).await,
        Kind::Unavailable,
        "no answer in 0.02 s",
    );
}

#[tokio::test]
async fn caller_with_a_deadline_of_a_millisecond_is_answered_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bench = Bench::new();
    let before = bench.snapshot();
    let puller = bench.puller(hosts(&[], &url));
    let (name, auth): (Reference, _) = (NAME.parse().unwrap(), AuthConfig::default());
    let (progress, _) = watch::channel(Progress::default());
    let start = Instant::now();
    let pull = puller.pull(&name, &auth, &progress);
    let result = tokio::time::timeout(Duration::from_millis(1), pull).await;
    assert!(result.is_err());
    // The registry would be waited for much longer.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    bench.expect_unchanged(&before).await;
}

#[tokio::test]
async fn pull_that_is_dropped_leaves_nothing() {
    let content = Content::app();
    let gate = Arc::new(Semaphore::new(0));
    let shut = gate.clone();
    let server = Server::start(move |request| {
        let mut reply = content.reply(request);
        if content.is_layer(request, 2) {
            reply.gate = Some((200_000, shut.clone()));
        }
        reply
    })
    .await;
    let bench = Bench::new();
    let before = bench.snapshot();
    let puller = Arc::new(bench.puller(hosts(&[], &server.url())));
    let (progress, seen) = watch::channel(Progress::default());
    let pulling = {
        let puller = puller.clone();
        tokio::spawn(async move {
            let auth = AuthConfig::default();
            puller.pull(&NAME.parse().unwrap(), &auth, &progress).await
        })
    };
    // Two layers are in place and half of the third has come.
    let layers = || seen.borrow().layers.clone();
    let rows = |state| layers().iter().filter(|row| row.state == state).count();
    let ready = || rows(registry::LayerState::Stored) == 2 && layers()[2].read_bytes == 200_000;
    until(
        || layers().len() == 3 && ready(),
        || format!("{:?}", layers()),
    )
    .await;
    assert!(bench.snapshot().len() > before.len());
    pulling.abort();
    assert!(
        tokio::time::timeout(SOON, pulling)
            .await
            .unwrap()
            .unwrap_err()
            .is_cancelled()
    );
    bench.expect_unchanged(&before).await;
    // And it can be had after all.
    gate.add_permits(100);
    pull(&puller, NAME).await.unwrap();
}
