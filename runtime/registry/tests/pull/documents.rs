//! What a name leads to: platform, names in the store, limits, forged documents.

use registry::{AuthConfig, Kind, LayerState, Progress, Stage};
use serde_json::json;
use tokio::sync::watch;

use crate::archive::{self, gzip, plain, sha256};
use crate::bench::{Bench, Content, INDEX, MANIFEST, NAME, hosts, pull, refused};
use crate::server::{Reply, Server};
use harness::tar_items::{file, tar};

#[tokio::test]
async fn tag_gives_our_platform_with_tag_and_digest_of_the_index() {
    let content = Content::app();
    let top = content.top.clone();
    let layers = content.layers.clone();
    let server = Server::start(move |request| content.reply(request)).await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[], &server.url()));
    let (sender, receiver) = watch::channel(Progress::default());
    let name = NAME.parse().unwrap();
    let image = puller
        .pull(&name, &AuthConfig::default(), &sender)
        .await
        .unwrap();
    let progress = receiver.borrow().clone();
    assert_eq!(progress.stage, Stage::Done);
    assert_eq!(progress.layers.len(), 3);
    let stored = |layer: &registry::LayerProgress| {
        layer.state == LayerState::Stored && layer.read_bytes == layer.total_bytes
    };
    assert!(progress.layers.iter().all(stored), "{progress:?}");
    assert_eq!(image.names, [NAME.parse().unwrap()]);
    let pinned = format!("registry.test/team/app@{top}");
    assert_eq!(image.digests, [pinned.parse().unwrap()]);
    assert_eq!(bench.store.open_rootfs(&image).unwrap().segments.len(), 4);
    // A mirror has to know for whom it stands in.
    assert!(
        server
            .seen()
            .iter()
            .all(|request| request.query == "ns=registry.test")
    );
    // Nothing of it is fetched again.
    let again = pull(&puller, &pinned).await.unwrap();
    assert_eq!((again.id, again.names.len()), (image.id, 1));
    for layer in layers {
        assert_eq!(server.count(&layer), 1, "{layer}");
    }
}

#[tokio::test]
async fn image_pulled_by_digest_has_no_tag() {
    let content = Content::app();
    let pinned = format!("registry.test/team/app@{}", content.top);
    let with_tag = format!("registry.test/team/app:other@{}", content.top);
    let server = Server::start(move |request| content.reply(request)).await;
    for name in [&pinned, &with_tag] {
        let bench = Bench::new();
        let image = pull(&bench.puller(hosts(&[], &server.url())), name)
            .await
            .unwrap();
        assert_eq!(image.names, []);
        assert_eq!(image.digests, [pinned.parse().unwrap()], "{name}");
        assert_eq!(bench.store.resolve(name).unwrap().id, image.id);
    }
}

#[tokio::test]
async fn tag_that_moves_leaves_the_old_image() {
    let old = Content::app();
    let new = Content::with(&[gzip(&tar(&[file("new", "")]))]);
    let (before, after) = (old.clone(), new.clone());
    let server = Server::start(move |request| {
        let moved = request.earlier > 0 && request.path.ends_with("/manifests/1");
        match after.reply(request) {
            reply if moved || !request.path.ends_with("/manifests/1") && reply.status == 200 => {
                reply
            }
            _ => before.reply(request),
        }
    })
    .await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[], &server.url()));
    let first = pull(&puller, NAME).await.unwrap();
    let second = pull(&puller, NAME).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(bench.store.resolve(NAME).unwrap().id, second.id);
    let first = bench.store.resolve(&first.id.hex()).unwrap();
    assert_eq!((first.names.len(), first.digests.len()), (0, 1));
}

/// What is done to good bytes.
type Forge = fn(&mut Vec<u8>);

/// Serves this content and expects a refusal that leaves the store as it was.
async fn check(content: Content, kind: Kind, expect: &str) {
    let server = Server::start(move |request| content.reply(request)).await;
    let bench = Bench::new();
    let before = bench.snapshot();
    let puller = bench.puller(hosts(&[], &server.url()));
    refused(pull(&puller, NAME).await, kind, expect);
    bench.expect_unchanged(&before).await;
}

#[tokio::test]
async fn documents_that_are_no_use_are_refused() {
    let layers = [gzip(&tar(&[file("a", "b")]))];
    let mut content = Content::default();
    let arm = content.manifest("arm64", &layers, MANIFEST);
    content.tag(INDEX, &json!({ "manifests": [arm] }));
    check(
        content,
        Kind::BadContent,
        "no variant for linux/amd64; there are: linux/arm64",
    )
    .await;

    let mut content = Content::default();
    content.tag(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        &json!({ "fsLayers": [] }),
    );
    check(
        content,
        Kind::BadContent,
        "manifest.v1+prettyjws`, which is not supported",
    )
    .await;

    let mut content = Content::default();
    content.tag(INDEX, &json!("x".repeat(5 << 20)));
    check(
        content,
        Kind::BadContent,
        "more than 4194304 bytes, which is refused",
    )
    .await;

    let mut content = Content::default();
    let size = 5 << 20;
    let config = json!({ "mediaType": "", "digest": sha256(b"c"), "size": size });
    content.tag(MANIFEST, &json!({ "config": config, "layers": [] }));
    check(
        content,
        Kind::BadContent,
        "it has 5242880 bytes; more than 4194304 are refused",
    )
    .await;

    let mut content = Content::default();
    let config = content.blob("", &archive::config("arm64", &layers));
    content.tag(MANIFEST, &json!({ "config": config, "layers": [] }));
    check(content, Kind::BadContent, "there are: linux/arm64").await;

    let mut content = Content::default();
    let mut last = content.tag(INDEX, &json!({ "manifests": [] }));
    for _ in 0..8 {
        last = content.tag(INDEX, &json!({ "manifests": [last] }));
    }
    check(content, Kind::BadContent, "nested deeper than 4").await;
}

#[tokio::test]
async fn forged_documents_are_refused() {
    for what in ["manifests/sha256", "blobs/sha256"] {
        let content = Content::app();
        let server = Server::start(move |request| {
            let forged = request.path.contains(what);
            let reply = content.reply(request);
            reply.when(forged, |reply| *reply.body.last_mut().unwrap() ^= 1)
        })
        .await;
        let bench = Bench::new();
        let before = bench.snapshot();
        let puller = bench.puller(hosts(&[], &server.url()));
        refused(pull(&puller, NAME).await, Kind::BadContent, "was promised");
        bench.expect_unchanged(&before).await;
    }
}

#[tokio::test]
async fn forged_layers_are_refused() {
    let good = plain(tar(&[file("a", "x".repeat(100_000))]));
    let forge: [(Forge, &str); 3] = [
        (|bytes| bytes[600] ^= 1, "the packed layer has digest"),
        (|bytes| bytes.push(0), "bytes, but its descriptor says"),
        (|bytes| bytes[5] ^= 1, "checksum differs"),
    ];
    for (change, expect) in forge {
        let content = Content::with(std::slice::from_ref(&good));
        let server = Server::start(move |request| {
            let forged = content.is_layer(request, 0);
            content
                .reply(request)
                .when(forged, |reply| change(&mut reply.body))
        })
        .await;
        let bench = Bench::new();
        let before = bench.snapshot();
        let puller = bench.puller(hosts(&[], &server.url()));
        let text = refused(pull(&puller, NAME).await, Kind::BadContent, expect);
        assert!(
            text.contains(&format!("layer 1 ({})", good.diff_id)),
            "{text}"
        );
        assert!(text.contains(NAME), "{text}");
        bench.expect_unchanged(&before).await;
    }
    let other = crate::archive::Packed {
        diff_id: sha256(b"other"),
        ..good
    };
    check(
        Content::with(&[other]),
        Kind::BadContent,
        "the unpacked layer has digest",
    )
    .await;
}

#[tokio::test]
async fn image_that_is_not_there_is_not_found() {
    check(
        Content::default(),
        Kind::NotFound,
        "MANIFEST_UNKNOWN no such thing",
    )
    .await;
    let mut content = Content::app();
    let last = content.layers[2].clone();
    content.blobs.remove(&last).unwrap();
    check(content, Kind::NotFound, &format!("fetch layer {last}")).await;
    let server =
        Server::start(|_| Reply::json(404, "{\"errors\": [{\"code\": \"\\u001b[31m\"}]}")).await;
    let bench = Bench::new();
    let result = pull(&bench.puller(hosts(&[], &server.url())), NAME).await;
    refused(result, Kind::NotFound, "\\u{1b}[31m");
}
