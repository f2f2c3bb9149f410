//! Registries by https: whose authority is known, whose is not, and that nothing goes from https to plain http. Needs
//! openssl(1) for certificates of its own; says so where it is missing.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use registry::{AuthConfig, Hosts, Kind};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::bench::{Bench, Content, NAME, hosts, pull, pull_as, refused};
use crate::server::{Reply, Request, Server};

/// Makes `ca.pem`, `server.pem` and `server.key`; false, aloud, where openssl is missing.
fn certificates(folder: &Path) -> bool {
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(line.split(' ')).output()
    };
    if let Err(error) = openssl("version") {
        println!("skipped: certificates need openssl(1): {error}");
        return false;
    }
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    for line in [
        format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
        format!(
            "req -x509 {key} -days 2 -subj /CN=server -addext {extensions} \
             -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key \
             -keyout server.key -out server.pem"
        ),
    ] {
        let output = openssl(&line).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {said}");
    }
    true
}

/// A server by https.
async fn secure(
    bench: &Bench,
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Option<Server> {
    if !certificates(&bench.path("")) {
        return None;
    }
    let certificate = CertificateDer::from_pem_file(bench.path("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(bench.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start_with(script, move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await }
    })
    .await;
    Some(server)
}

fn trusting(bench: &Bench, server: &Server) -> Hosts {
    let path = bench.path("ca.pem");
    let mut hosts = hosts(&[], &format!("https://{}", server.address));
    hosts.registries[0].ca_file = Some(path);
    hosts
}

#[tokio::test]
async fn authority_of_the_configuration_is_trusted_and_no_other() {
    let content = Content::app();
    let bench = Bench::new();
    let Some(server) = secure(&bench, move |request| content.reply(request)).await else {
        return;
    };
    let hosts = trusting(&bench, &server);
    pull(&bench.puller(hosts.clone()), NAME).await.unwrap();
    let mut unknown = hosts;
    unknown.registries[0].ca_file = None;
    let result = pull(&bench.puller(unknown), NAME).await;
    refused(result, Kind::Unavailable, "UnknownIssuer");
}

#[tokio::test]
async fn redirect_from_https_to_http_is_not_followed() {
    let plain = Server::start(|_| Reply::status(500)).await;
    let away = plain.url();
    let redirect = move |request: &Request| {
        Reply::status(307).header("Location", format!("{away}{}", request.path))
    };
    let bench = Bench::new();
    let Some(server) = secure(&bench, redirect).await else {
        return;
    };
    let puller = bench.puller(trusting(&bench, &server));
    refused(
        pull(&puller, NAME).await,
        Kind::Other,
        "from https to another protocol",
    );
    assert_eq!(plain.seen().len(), 0);
}

#[tokio::test]
async fn password_does_not_go_to_a_token_server_by_http() {
    let tokens = Server::start(|_| Reply::status(500)).await;
    let realm = format!("Bearer realm=\"{}/token\"", tokens.url());
    let challenge = move |_: &Request| Reply::status(401).header("WWW-Authenticate", realm.clone());
    let bench = Bench::new();
    let Some(server) = secure(&bench, challenge).await else {
        return;
    };
    let puller = bench.puller(trusting(&bench, &server));
    let auth = AuthConfig {
        username: "me".to_owned(),
        password: "secret".to_owned(),
        ..AuthConfig::default()
    };
    let result = pull_as(&puller, NAME, &auth).await;
    refused(result, Kind::Other, "a password would leave by plain http");
    assert_eq!(tokens.seen().len(), 0);
}
