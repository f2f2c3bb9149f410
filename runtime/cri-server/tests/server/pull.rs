//! Pulls, from a registry on loopback.

use std::time::{Duration, Instant};

use cri::v1::{
    AuthConfig, Image, ImageSpec, ImageStatusRequest, ListImagesRequest, PullImageRequest,
    PullImageResponse, StatusRequest,
};
use prost::Message;
use registry::{Hosts, Mirror};
use tokio::{net::UnixStream, task::JoinSet, time::timeout};
use tonic::{Code, Response, Status, codegen::http};

use crate::{
    bench::{Bench, Daemon, SOON, check},
    registry::{IDENTITY_TOKEN, PASSWORD, REGISTRY_TOKEN, Registry, USER},
};

/// What nobody is to be shown.
const MIRROR_SECRET: &str = "token-in-a-path";

fn request(name: &str) -> PullImageRequest {
    PullImageRequest {
        image: Some(ImageSpec {
            image: name.to_owned(),
            ..ImageSpec::default()
        }),
        ..PullImageRequest::default()
    }
}

async fn pull_as(
    daemon: &Daemon,
    name: &str,
    auth: AuthConfig,
) -> Result<Response<PullImageResponse>, Status> {
    let request = PullImageRequest {
        auth: Some(auth),
        ..request(name)
    };
    let mut client = daemon.image.clone();
    timeout(SOON, client.pull_image(request))
        .await
        .expect("a pull that ends")
}

async fn pull(daemon: &Daemon, name: &str) -> Result<Response<PullImageResponse>, Status> {
    pull_as(daemon, name, AuthConfig::default()).await
}

async fn status(daemon: &Daemon, name: &str) -> Image {
    let request = ImageStatusRequest {
        image: request(name).image,
        verbose: false,
    };
    let status = daemon.image.clone().image_status(request).await.unwrap();
    status.into_inner().image.expect(name)
}

async fn listed(daemon: &Daemon) -> Vec<Image> {
    let mut client = daemon.image.clone();
    let listed = client.list_images(ListImagesRequest::default()).await;
    listed.unwrap().into_inner().images
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn image_pulled_by_tag_has_the_tag_and_the_digest_of_its_index() {
    let (bench, registry) = (Bench::new(), Registry::start().await);
    let daemon = bench.serve().await;
    let name = format!("{}:1", registry.repository());
    let pulled = pull(&daemon, &name).await.unwrap().into_inner();
    assert_eq!(pulled.image_ref, registry.content.id);
    let image = status(&daemon, &name).await;
    assert_eq!(image.id, pulled.image_ref);
    assert_eq!(image.repo_tags, [name]);
    let digest = format!("{}@{}", registry.repository(), registry.content.index);
    assert_eq!(image.repo_digests, [digest]);
    assert_eq!((image.uid, image.username.as_str()), (None, "www-data"));
    assert!(image.size > 0 && !image.pinned);
    assert_eq!(status(&daemon, &pulled.image_ref).await.id, image.id);
}

#[tokio::test]
async fn image_pulled_by_digest_has_no_tag() {
    let (bench, registry) = (Bench::new(), Registry::start().await);
    let daemon = bench.serve().await;
    let name = format!("{}@{}", registry.repository(), registry.content.index);
    pull(&daemon, &name).await.unwrap();
    let image = status(&daemon, &name).await;
    assert_eq!(image.repo_tags, Vec::<String>::new());
    assert_eq!(image.repo_digests, [name]);
}

#[tokio::test]
async fn short_name_comes_from_the_mirror_of_docker_hub() {
    let (bench, registry) = (Bench::new(), Registry::start().await);
    let mut settings = bench.settings();
    settings.registries = mirrored(&format!("http://{}/{MIRROR_SECRET}", registry.address));
    let mut daemon = Bench::serve_with(settings).await;
    pull(&daemon, "busybox").await.unwrap();
    let image = status(&daemon, "busybox").await;
    assert_eq!(image.repo_tags, ["docker.io/library/busybox:latest"]);
    assert_eq!(registry.given("library/busybox/manifests/latest"), 1);
    let request = StatusRequest { verbose: true };
    let status = daemon.runtime.status(request).await.unwrap().into_inner();
    let config = &status.info["config"];
    assert!(config.contains("images_dir"), "{config}");
    assert!(!config.contains(MIRROR_SECRET), "{config}");
}

fn mirrored(url: &str) -> Hosts {
    let mirror = Mirror {
        url: url.to_owned(),
        ca_file: None,
        send_credentials: false,
    };
    Hosts {
        registries: vec![registry::Registry {
            host: "docker.io".to_owned(),
            mirrors: vec![mirror],
            url: None,
            ca_file: None,
        }],
    }
}

#[tokio::test]
async fn every_form_of_a_credential_opens_a_private_registry() {
    let (bench, registry) = (Bench::new(), Registry::private().await);
    let daemon = bench.serve().await;
    let name = format!("{}:1", registry.repository());
    check(
        pull(&daemon, &name).await,
        Code::Unauthenticated,
        "not authorised",
    );
    let basic = AuthConfig {
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        ..AuthConfig::default()
    };
    let packed = AuthConfig {
        auth: base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{USER}:{PASSWORD}"),
        ),
        ..AuthConfig::default()
    };
    let identity = AuthConfig {
        identity_token: IDENTITY_TOKEN.to_owned(),
        ..AuthConfig::default()
    };
    let token = AuthConfig {
        registry_token: REGISTRY_TOKEN.to_owned(),
        server_address: registry.address.to_string(),
        ..AuthConfig::default()
    };
    for auth in [basic, packed, identity, token] {
        let before = registry.given("manifests/1");
        let pulled = pull_as(&daemon, &name, auth.clone()).await;
        assert_eq!(pulled.unwrap().into_inner().image_ref, registry.content.id);
        assert!(registry.given("manifests/1") > before, "{auth:?}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_repeated() {
    let (bench, registry) = (Bench::new(), Registry::private().await);
    let daemon = bench.serve().await;
    let name = format!("{}:1", registry.repository());
    let wrong = AuthConfig {
        username: USER.to_owned(),
        password: "a-wrong-secret".to_owned(),
        ..AuthConfig::default()
    };
    let elsewhere = AuthConfig {
        password: PASSWORD.to_owned(),
        server_address: "registry.example".to_owned(),
        ..wrong.clone()
    };
    let garbled = AuthConfig {
        auth: "a-wrong-secret".to_owned(),
        ..AuthConfig::default()
    };
    for auth in [wrong, elsewhere, garbled] {
        let status = pull_as(&daemon, &name, auth).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(!status.message().contains("a-wrong-secret"), "{status}");
        assert!(!status.message().contains(PASSWORD), "{status}");
    }
    assert_eq!(listed(&daemon).await, []);
    assert_eq!(registry.given(""), 0);
}

#[tokio::test]
async fn registry_that_is_off_is_unavailable_in_the_words_that_kubelet_looks_for() {
    let bench = Bench::new();
    let daemon = bench.serve().await;
    // Nobody listens where somebody has just stopped to.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let status = pull(&daemon, &format!("{address}/app:1"))
        .await
        .unwrap_err();
    let message = status.message();
    assert!(message.starts_with("RegistryUnavailable: "), "{message}");
    assert!(message.contains(&address.to_string()), "{message}");
    assert_ne!(status.code(), Code::Unavailable, "the daemon is there");
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let (bench, registry) = (Bench::new(), Registry::start().await);
    let daemon = bench.serve().await;
    let missing = format!("{}:2", registry.repository());
    check(pull(&daemon, &missing).await, Code::NotFound, &missing);
    for name in ["", "127.0.0.1/UPPER:1", "127.0.0.1/two words"] {
        check(pull(&daemon, name).await, Code::InvalidArgument, "image");
    }
    let nameless = daemon.image.clone();
    let nameless = { nameless }.pull_image(PullImageRequest::default()).await;
    check(nameless, Code::InvalidArgument, "image");
}

#[tokio::test]
async fn pulls_at_the_same_time_fetch_a_layer_once() {
    let (bench, registry) = (Bench::new(), Registry::gated().await);
    let daemon = bench.serve().await;
    let name = format!("{}:1", registry.repository());
    let mut pulls = JoinSet::new();
    for _ in 0..5 {
        let (mut client, request) = (daemon.image.clone(), request(&name));
        pulls.spawn(async move { client.pull_image(request).await });
    }
    let config = registry.content.id.clone();
    until("all ask for the configuration", || {
        registry.given(&config) == 5
    })
    .await;
    registry.content.gate.add_permits(1);
    while let Some(pulled) = pulls.join_next().await {
        let pulled = pulled.unwrap().unwrap().into_inner();
        assert_eq!(pulled.image_ref, registry.content.id);
    }
    assert_eq!(registry.given(&registry.content.layer), 1);
    assert_eq!(listed(&daemon).await.len(), 1);
}

#[tokio::test]
async fn client_that_goes_away_takes_its_pull_with_it() {
    let (bench, registry) = (Bench::new(), Registry::gated().await);
    let daemon = bench.serve().await;
    let (mut client, request) = (
        daemon.image.clone(),
        request(&format!("{}:1", registry.repository())),
    );
    let pull = tokio::spawn(async move { client.pull_image(request).await });
    let layer = registry.content.layer.clone();
    until("the layer is asked for", || registry.given(&layer) == 1).await;
    let temporary = bench.settings().images_dir.join("tmp");
    let at_work = || std::fs::read_dir(&temporary).unwrap().count();
    assert_ne!(at_work(), 0, "a pull has its place in the store");
    pull.abort();
    until("the pull has left the store", || at_work() == 0).await;
    registry.content.gate.add_permits(1);
    assert_eq!(listed(&daemon).await, []);
}

/// With a client of its own: tonic's ends the call itself, before the daemon's answer is here.
#[tokio::test]
async fn deadline_of_a_millisecond_is_exceeded() {
    let (bench, registry) = (Bench::new(), Registry::gated().await);
    let daemon = bench.serve().await;
    let stream = UnixStream::connect(&bench.settings().socket).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let call = http::Request::post("http://localhost/runtime.v1.ImageService/PullImage")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1m")
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(call, false).unwrap();
    let message = request(&format!("{}:1", registry.repository())).encode_to_vec();
    // Not compressed, then the length (gRPC over HTTP/2, "Length-Prefixed-Message").
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    body.send_data(frame.into(), true).unwrap();
    let answer = timeout(SOON, answer).await.unwrap().unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let temporary = bench.settings().images_dir.join("tmp");
    let at_work = || std::fs::read_dir(&temporary).unwrap().count();
    until("the pull has left the store", || at_work() == 0).await;
    assert_eq!(listed(&daemon).await, []);
    connection.abort();
}
