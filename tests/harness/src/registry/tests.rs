//! The registry answers as clients expect. Its program has to be there.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Access, Registry, Storage, Token, TokenServer};
use crate::image::{Compression, ImageBuilder, Layer, MultiArch};

fn program_is_missing(test: &str) -> bool {
    let missing = std::process::Command::new(super::PROGRAM)
        .arg("--version")
        .output()
        .is_err();
    if missing {
        eprintln!("SKIPPED {test}: no {}", super::PROGRAM);
    }
    missing
}

/// The head and the body of an answer.
fn get(registry: &Registry, path: &str) -> (String, Vec<u8>) {
    get_with(registry, path, "")
}

/// The same with one more header.
fn get_with(registry: &Registry, path: &str, header: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    let accept =
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\n{header}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let at = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&answer[..at]).into_owned();
    (head, answer[at + 4..].to_vec())
}

fn image(architecture: &str) -> crate::image::Bundle {
    let layer = Layer::new(Compression::Gzip).file("for", 0o644, architecture);
    let image = ImageBuilder::new("app:1").architecture(architecture);
    image.layer(layer).build().unwrap()
}

#[test]
fn registry_serves_what_was_put_and_only_while_it_runs() {
    if program_is_missing("registry_serves_what_was_put_and_only_while_it_runs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::new(folder.path()).unwrap();
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let both = MultiArch::new("app:2", vec![arm64, amd64.clone()]);
    let content = amd64.content();
    storage.put("team/app", "1", &content).unwrap();
    let both = both.content().unwrap();
    storage.put("team/app", "2", &both).unwrap();

    let mut registry = Registry::start(&storage, Access::Everyone).unwrap();
    for (path, digest, bytes) in [
        ("manifests/1", &content.root.digest, &content.root.bytes),
        ("manifests/2", &both.root.digest, &both.root.bytes),
    ] {
        let (head, body) = get(&registry, &format!("/v2/team/app/{path}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains(digest.as_str()), "{head}");
        assert_eq!(&body, bytes);
    }
    let below = &both.manifests[0].digest;
    let (head, _) = get(&registry, &format!("/v2/team/app/manifests/{below}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let layer = &amd64.layers[0];
    let (_, body) = get(&registry, &format!("/v2/team/app/blobs/{}", layer.digest));
    assert_eq!(body, layer.bytes);
    let (head, _) = get(&registry, "/v2/team/app/manifests/3");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");

    registry.cut().unwrap();
    assert!(TcpStream::connect(registry.address()).is_err());
    registry.resume().unwrap();
    let (head, _) = get(&registry, "/v2/");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn registry_with_passwords_wants_one() {
    if program_is_missing("registry_with_passwords_wants_one") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::new(folder.path()).unwrap();
    let registry = Registry::start(&storage, Access::WithPassword).unwrap();
    let (head, _) = get(&registry, "/v2/");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[test]
fn registry_with_tokens_wants_one_that_its_server_signed_for_what_is_read() {
    if program_is_missing("registry_with_tokens_wants_one_that_its_server_signed_for_what_is_read")
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::new(folder.path()).unwrap();
    let app = image("amd64");
    storage.put("team/app", "1", &app.content()).unwrap();
    let (server, other) = (TokenServer::start().unwrap(), TokenServer::start().unwrap());
    let registry = Registry::start(&storage, Access::WithToken(&server)).unwrap();
    let check = |server: &TokenServer, repository: &str, expired: bool, expect: &str| {
        let token = Token {
            repository,
            expired,
        };
        let header = format!("Authorization: Bearer {}\r\n", server.token(token).unwrap());
        let (head, _) = get_with(&registry, "/v2/team/app/manifests/1", &header);
        let log = registry.log();
        assert!(
            head.starts_with(expect),
            "{repository} {expired}: {head}; {log}"
        );
    };
    check(&server, "team/app", false, "HTTP/1.1 200");
    check(&server, "team/app", true, "HTTP/1.1 401");
    check(&server, "team/other", false, "HTTP/1.1 401");
    check(&server, "", false, "HTTP/1.1 401");
    check(&other, "team/app", false, "HTTP/1.1 401");
    let (head, _) = get(&registry, "/v2/team/app/manifests/1");
    assert!(head.contains("service=\"registry-of-tests\""), "{head}");
    assert_eq!(server.asked(), [""; 0]);
}
