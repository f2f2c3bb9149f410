//! Pulls of one image at the same time: one download, whoever comes and goes.

use std::sync::Arc;

use images::{Image, Reference};
use registry::{AuthConfig, Kind, Progress, PullError, Puller};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::bench::{Bench, Content, NAME, SOON, hosts, text, until};
use crate::server::{Reply, Server};

struct Shared {
    bench: Bench,
    server: Server,
    puller: Arc<Puller>,
    gate: Arc<Semaphore>,
    layer: String,
}

/// A pull that runs by itself.
struct Running {
    task: JoinHandle<Result<Image, PullError>>,
    progress: watch::Receiver<Progress>,
}

impl Shared {
    /// The last layer stops at half until the gate opens.
    async fn new(end: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Self {
        let content = Content::app();
        let layer = content.layers[2].clone();
        let gate = Arc::new(Semaphore::new(0));
        let shut = gate.clone();
        let server = Server::start(move |request| {
            let reply = content.reply(request);
            if !content.is_layer(request, 2) {
                return reply;
            }
            end(Reply {
                gate: Some((300_000, shut.clone())),
                ..reply
            })
        })
        .await;
        let bench = Bench::new();
        let puller = Arc::new(bench.puller(hosts(&[], &server.url())));
        Self {
            bench,
            server,
            puller,
            gate,
            layer,
        }
    }

    fn pull(&self, tag: &str) -> Running {
        let name: Reference = NAME.parse().unwrap();
        assert_eq!(name.tag(), Some(tag));
        let (sender, progress) = watch::channel(Progress::default());
        let puller = self.puller.clone();
        let task =
            tokio::spawn(async move { puller.pull(&name, &AuthConfig::default(), &sender).await });
        Running { task, progress }
    }

    /// Waits until this pull sees half of the last layer.
    async fn half(&self, running: &Running) {
        let bytes = || {
            running
                .progress
                .borrow()
                .layers
                .get(2)
                .map(|row| row.read_bytes)
        };
        until(|| bytes() == Some(300_000), || format!("{:?}", bytes())).await;
    }
}

async fn end(running: Running) -> Result<Image, PullError> {
    tokio::time::timeout(SOON, running.task)
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn pulls_at_once_share_each_layer() {
    let shared = Shared::new(|reply| reply).await;
    let pulls: Vec<_> = (0..5).map(|_| shared.pull("1")).collect();
    for running in &pulls {
        shared.half(running).await;
    }
    shared.gate.add_permits(1);
    let mut ids = Vec::new();
    for running in pulls {
        ids.push(end(running).await.unwrap().id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(shared.server.count(&shared.layer), 1);
    assert_eq!(shared.bench.store.list().unwrap().len(), 1);
}

#[tokio::test]
async fn pull_that_goes_away_does_not_end_the_others() {
    let shared = Shared::new(|reply| reply).await;
    let first = shared.pull("1");
    shared.half(&first).await;
    let second = shared.pull("1");
    shared.half(&second).await;
    // The one that started the download.
    first.task.abort();
    assert!(first.task.await.unwrap_err().is_cancelled());
    shared.gate.add_permits(1);
    end(second).await.unwrap();
    assert_eq!(shared.server.count(&shared.layer), 1);
}

#[tokio::test]
async fn download_ends_when_the_last_goes_away() {
    let shared = Shared::new(|reply| reply).await;
    let before = shared.bench.snapshot();
    let pulls = [shared.pull("1"), shared.pull("1")];
    for running in &pulls {
        shared.half(running).await;
    }
    for running in pulls {
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
    }
    shared.bench.expect_unchanged(&before).await;
    // A new one starts anew.
    let again = shared.pull("1");
    shared.half(&again).await;
    assert_eq!(shared.server.count(&shared.layer), 2);
    shared.gate.add_permits(2);
    end(again).await.unwrap();
}

#[tokio::test]
async fn failure_is_told_to_all_who_share_it() {
    let shared = Shared::new(|mut reply| {
        *reply.body.last_mut().unwrap() ^= 1;
        reply
    })
    .await;
    let before = shared.bench.snapshot();
    let pulls = [shared.pull("1"), shared.pull("1"), shared.pull("1")];
    for running in &pulls {
        shared.half(running).await;
    }
    shared.gate.add_permits(1);
    for running in pulls {
        let text = text(&end(running).await.unwrap_err(), Kind::BadContent);
        assert!(text.contains("the packed layer has digest"), "{text}");
    }
    assert_eq!(shared.server.count(&shared.layer), 1);
    shared.bench.expect_unchanged(&before).await;
}
