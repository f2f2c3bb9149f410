//! Mirrors and the registry itself: who is asked in which order, and what is said when nobody helps.

use std::sync::Arc;

use registry::{Hosts, Kind};

use crate::bench::{Bench, Content, NAME, hosts, pull, refused};
use crate::server::{Reply, Request, Server};

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn mirror_that_fails_is_passed_over() {
    let content = Arc::new(Content::app());
    let good = content.clone();
    let registry = Server::start(move |request| good.reply(request)).await;
    for status in [500, 503, 404, 401, 403, 429, 400] {
        let mirror = Server::start(move |_| Reply::status(status)).await;
        let bench = Bench::new();
        let puller = bench.puller(hosts(&[&mirror.url()], &registry.url()));
        pull(&puller, NAME).await.unwrap();
        assert!(mirror.count("/manifests/1") == 1, "{status}");
    }
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[&nobody().await], &registry.url()));
    pull(&puller, NAME).await.unwrap();
}

#[tokio::test]
async fn mirror_is_asked_by_path_before_the_registry() {
    let content = Content::app();
    let mirror = Server::start(move |request| {
        let path = request.path.strip_prefix("/proxy").unwrap().to_owned();
        content.reply(&Request {
            path,
            ..request.clone()
        })
    })
    .await;
    let registry = Server::start(|_| Reply::status(500)).await;
    let bench = Bench::new();
    let url = format!("{}/proxy/", mirror.url());
    let puller = bench.puller(hosts(&[&url], &registry.url()));
    pull(&puller, NAME).await.unwrap();
    assert_eq!(registry.seen().len(), 0);
    assert_eq!(mirror.seen()[0].path, "/proxy/v2/team/app/manifests/1");
}

#[tokio::test]
async fn mirror_with_wrong_bytes_is_passed_over() {
    let content = Arc::new(Content::app());
    let good = content.clone();
    let registry = Server::start(move |request| good.reply(request)).await;
    for part in ["/manifests/sha256", "/blobs/sha256"] {
        let good = content.clone();
        let mirror = Server::start(move |request| {
            let wrong = request.path.contains(part);
            let change = |reply: &mut Reply| reply.body.iter_mut().for_each(|byte| *byte ^= 1);
            good.reply(request).when(wrong, change)
        })
        .await;
        let bench = Bench::new();
        let puller = bench.puller(hosts(&[&mirror.url()], &registry.url()));
        pull(&puller, NAME).await.unwrap();
        assert!(mirror.count(part) > 0);
    }
}

/// One mirror, one registry, both failing: the registry's word counts, both are named.
async fn check(mirror: Reply, registry: Option<Reply>, kind: Kind, expect: &str) {
    let mirror = Server::start(move |_| mirror.clone()).await;
    let mut url = nobody().await;
    let _registry = match registry {
        None => None,
        Some(reply) => {
            let server = Server::start(move |_| reply.clone()).await;
            url = server.url();
            Some(server)
        }
    };
    let bench = Bench::new();
    let before = bench.snapshot();
    let puller = bench.puller(hosts(&[&mirror.url()], &url));
    let text = refused(pull(&puller, NAME).await, kind, expect);
    for host in [&mirror.url(), &url] {
        let host = host.strip_prefix("http://").unwrap();
        assert!(text.contains(host), "{host} in {text}");
    }
    bench.expect_unchanged(&before).await;
}

#[tokio::test]
async fn error_names_each_host_and_the_registry_decides() {
    let status = Reply::status;
    let all = Kind::Unavailable;
    check(status(404), None, all, "not found; 127.0.0.1").await;
    check(
        status(401),
        Some(status(503)),
        all,
        "answered with status 503",
    )
    .await;
    check(
        status(500),
        Some(status(404)),
        Kind::NotFound,
        "answered with status 500; ",
    )
    .await;
    let said = r#"{"errors":[{"code":"DENIED","message":"go away"}]}"#;
    let denied = Reply::json(403, said);
    check(
        status(404),
        Some(denied),
        Kind::Unauthorized,
        "not authorised (it says: DENIED go away); no credential was given",
    )
    .await;
    check(status(404), Some(status(400)), Kind::Other, "status 400").await;
}

#[tokio::test]
async fn redirects_have_an_end() {
    let server = Server::start(|request| {
        Reply::status(307).header("Location", format!("{}x", request.path))
    })
    .await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[], &server.url()));
    let result = pull(&puller, NAME).await;
    refused(result, Kind::Other, "it redirects more than 5 times");
    assert_eq!(server.seen().len(), 6);
    for location in ["file:///etc/passwd", "http://[", "ftp://a.example/"] {
        let server = Server::start(move |_| Reply::status(302).header("Location", location)).await;
        let puller = bench.puller(hosts(&[], &server.url()));
        refused(pull(&puller, NAME).await, Kind::Other, "it redirects");
    }
}

#[tokio::test]
async fn wrong_configuration_is_refused_at_once() {
    let bench = Bench::new();
    let check = |hosts: Hosts, expect: &str| {
        let patience = registry::Patience::default();
        let error = registry::Puller::new(bench.store.clone(), hosts, patience).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(
        hosts(&["nowhere"], "http://a.example"),
        "`nowhere` is no address",
    );
    let mut with_authority = hosts(&[], "https://a.example");
    let path = bench.path("ca.pem");
    with_authority.registries[0].ca_file = Some(path.clone());
    check(
        with_authority.clone(),
        "read the certificate authorities in",
    );
    std::fs::write(&path, "nothing").unwrap();
    check(with_authority.clone(), "no `BEGIN CERTIFICATE`");
    let junk = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    std::fs::write(&path, junk).unwrap();
    check(with_authority, "has no good certificate authority");
}
