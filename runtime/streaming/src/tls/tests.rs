//! TLS: a client that knows the authority gets in, and what can't be used is said. Needs openssl(1) for a certificate; says so where it is
//! missing.

use std::{fs, path::Path, process::Command, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{TlsError, acceptor};
use crate::{
    Asked, Attach, Backend, BindError, Connection, Exec, Process, Refusal, Server, Session,
    Settings, Tls,
};

#[derive(Clone)]
struct Nothing;

impl Backend for Nothing {
    async fn exec(&self, _exec: Exec) -> Result<Process, Refusal> {
        Err(Refusal("nothing is here".to_owned()))
    }

    async fn attach(&self, _attach: Attach) -> Result<Process, Refusal> {
        Err(Refusal("nothing is here".to_owned()))
    }

    async fn dial(&self, _sandbox: &str, _port: u16) -> Result<Connection, Refusal> {
        Err(Refusal("nothing is here".to_owned()))
    }
}

/// Makes `NAME.pem` and `NAME.key`; false, aloud, where openssl is missing.
fn make_certificate(folder: &Path, name: &str) -> bool {
    let line = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=node \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
    );
    let mut openssl = Command::new("openssl");
    match openssl
        .current_dir(folder)
        .args(line.split_whitespace())
        .output()
    {
        Err(error) => {
            println!("skipped: a certificate needs openssl(1): {error}");
            false
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {line}: {said}");
            true
        }
    }
}

fn tls(folder: &Path, certificate: &str, key: &str) -> Tls {
    Tls {
        certificate: folder.join(certificate),
        key: folder.join(key),
    }
}

#[tokio::test]
async fn client_that_trusts_the_certificate_speaks_spdy() {
    let folder = tempfile::tempdir().unwrap();
    if !make_certificate(folder.path(), "node") {
        return;
    }
    let settings = Settings {
        tls: Some(tls(folder.path(), "node.pem", "node.key")),
        ..Settings::default()
    };
    let server = Server::bind(settings, Nothing).await.unwrap();
    let session = Session::Attach(Attach {
        container: "one".to_owned(),
        streams: Asked::default(),
    });
    let url = server.open(session).unwrap();
    let address = server.address();
    let path = url.strip_prefix(&format!("https://{address}")).unwrap();

    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(folder.path().join("node.pem")).unwrap();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::from(address.ip());
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    );
    let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1];
    // Behind the head at once: what was read with it belongs to SPDY.
    stream
        .write_all(&[head.as_bytes(), &ping].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&ping) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    server.shutdown().await;
}

#[tokio::test]
async fn files_that_can_t_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |certificate: &str, key: &str, expect: &str| {
        let error = acceptor(&tls(folder.path(), certificate, key))
            .err()
            .unwrap();
        let kind = match &error {
            TlsError::Certificate { .. } => "certificate",
            TlsError::NoCertificate(_) => "no certificate",
            TlsError::Key { .. } => "key",
            TlsError::Pair { .. } => "pair",
        };
        assert_eq!(kind, expect, "{error}");
        assert!(
            error.to_string().contains(folder.path().to_str().unwrap()),
            "{error}"
        );
    };
    fs::write(folder.path().join("empty"), "").unwrap();
    check("missing", "missing", "certificate");
    check("empty", "empty", "no certificate");
    if make_certificate(folder.path(), "one") && make_certificate(folder.path(), "two") {
        check("one.pem", "missing", "key");
        check("one.pem", "empty", "key");
        check("one.pem", "two.key", "pair");
    }
    let settings = Settings {
        tls: Some(tls(folder.path(), "missing", "missing")),
        ..Settings::default()
    };
    let error = Server::bind(settings, Nothing).await.unwrap_err();
    assert!(matches!(error, BindError::Tls(_)), "{error}");
}
