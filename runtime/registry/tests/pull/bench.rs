//! A store, images for a registry to serve, and what every test looks at.
//!
//! Main types: [`Bench`] (a store with a puller) and [`Content`] (what a well-behaved registry has).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use images::{Image, Reference, Store};
use registry::{AuthConfig, Hosts, Kind, Mirror, Patience, Progress, PullError, Puller, Registry};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::archive::{self, Packed, gzip, plain, zstandard};
use crate::server::{Reply, Request};
use harness::tar_items::{file, folder, tar};

/// Longest wait for what must come soon; a loaded machine is slow.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The name that most tests pull; its registry is one of the configuration, never of the network.
pub(crate) const NAME: &str = "registry.test/team/app:1";

pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) store: Store,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every file of the store with its content.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.store.root(), &mut files);
        files
    }

    /// The store is as it was, as soon as the threads that wrote have noticed.
    pub(crate) async fn expect_unchanged(&self, before: &BTreeMap<PathBuf, Vec<u8>>) {
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        until(
            || self.snapshot() == *before,
            || {
                format!(
                    "{:#?}\ninstead of {:#?}",
                    names(&self.snapshot()),
                    names(before)
                )
            },
        )
        .await;
    }

    pub(crate) fn puller(&self, hosts: Hosts) -> Puller {
        Puller::new(self.store.clone(), hosts, patience()).unwrap()
    }
}

/// Waits for a condition; says what there is instead.
pub(crate) async fn until(condition: impl Fn() -> bool, instead: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "{}", instead());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    // Another thread may remove what was listed.
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.insert(path.clone(), Vec::new());
            collect(&path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            files.insert(path, bytes);
        }
    }
}

pub(crate) fn patience() -> Patience {
    Patience {
        retry: Duration::from_millis(1),
        ..Patience::default()
    }
}

/// The registry of [`NAME`] at this address, behind these mirrors.
pub(crate) fn hosts(mirrors: &[&str], url: &str) -> Hosts {
    let mirrors = mirrors.iter().map(|url| Mirror {
        url: (*url).to_owned(),
        ca_file: None,
        send_credentials: false,
    });
    Hosts {
        registries: vec![Registry {
            host: "registry.test".to_owned(),
            mirrors: mirrors.collect(),
            url: Some(url.to_owned()),
            ca_file: None,
        }],
    }
}

pub(crate) async fn pull_as(
    puller: &Puller,
    name: &str,
    auth: &AuthConfig,
) -> Result<Image, PullError> {
    let name: Reference = name.parse().unwrap();
    let (progress, _) = watch::channel(Progress::default());
    let pull = puller.pull(&name, auth, &progress);
    tokio::time::timeout(SOON, pull)
        .await
        .expect("a pull that ends")
}

pub(crate) async fn pull(puller: &Puller, name: &str) -> Result<Image, PullError> {
    pull_as(puller, name, &AuthConfig::default()).await
}

/// An error's whole chain, as a person sees it, after a look at its kind.
pub(crate) fn text(error: &PullError, kind: Kind) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    assert_eq!(error.kind(), kind, "{text}");
    text
}

pub(crate) fn refused(result: Result<Image, PullError>, kind: Kind, expect: &str) -> String {
    let text = text(&result.unwrap_err(), kind);
    assert!(text.contains(expect), "expected `{expect}` in: {text}");
    text
}

/// What a registry has, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    documents: BTreeMap<String, (String, Vec<u8>)>,
    /// Digests of the layers, bottom first.
    pub(crate) layers: Vec<String>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Digest of what the tag leads to.
    pub(crate) top: String,
}

impl Content {
    /// `team/app:1`: an index, the foreign platform first, and three layers, packed in three ways.
    pub(crate) fn app() -> Self {
        // What does not compress comes in many pieces.
        let noise: Vec<u8> = (0..600_000_u64)
            .map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56).to_le_bytes()[0])
            .collect();
        Self::with(&[
            gzip(&tar(&[folder("bin"), file("bin/sh", "shell")])),
            zstandard(&tar(&[file("top", "1")])),
            plain(tar(&[file("noise", noise)])),
        ])
    }

    pub(crate) fn with(layers: &[Packed]) -> Self {
        let mut content = Self::default();
        let arm = content.manifest("arm64", &[plain(tar(&[]))], MANIFEST);
        let ours = content.manifest("amd64", layers, DOCKER_MANIFEST);
        content.layers = layers
            .iter()
            .map(|layer| archive::sha256(&layer.bytes))
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [arm, ours] });
        content.tag(INDEX, &index);
        content
    }

    /// Puts a document under the tag and its digest.
    pub(crate) fn tag(&mut self, media_type: &str, document: &Value) -> Value {
        let bytes = serde_json::to_vec(document).unwrap();
        let digest = archive::sha256(&bytes);
        let size = bytes.len();
        for key in ["1", &digest] {
            let document = (media_type.to_owned(), bytes.clone());
            self.documents.insert(key.to_owned(), document);
        }
        self.top.clone_from(&digest);
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    pub(crate) fn manifest(
        &mut self,
        architecture: &str,
        layers: &[Packed],
        media_type: &str,
    ) -> Value {
        let config = archive::config(architecture, layers);
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config);
        let layers = layers.iter();
        let layers: Vec<_> = layers
            .map(|layer| self.blob(layer.media_type, &layer.bytes))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers
        });
        let mut descriptor = self.tag(media_type, &manifest);
        descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        descriptor
    }

    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = archive::sha256(bytes);
        self.blobs.insert(digest.clone(), bytes.to_vec());
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// As they can be pushed: manifests, then the index, by digest, then by tag.
    pub(crate) fn documents_in_order(&self) -> Vec<(String, String, Vec<u8>)> {
        let documents = self.documents.iter();
        let mut documents: Vec<_> = documents
            .map(|(key, (media_type, bytes))| (key.clone(), media_type.clone(), bytes.clone()))
            .collect();
        documents.sort_by_key(|(key, media_type, _)| (media_type == INDEX, key == "1"));
        documents
    }

    /// What a good registry answers.
    pub(crate) fn reply(&self, request: &Request) -> Reply {
        let path = request
            .path
            .strip_prefix("/v2/team/app/")
            .unwrap_or_default();
        if let Some((media_type, bytes)) = path
            .strip_prefix("manifests/")
            .and_then(|key| self.documents.get(key))
        {
            let reply = Reply {
                body: bytes.clone(),
                ..Reply::status(200)
            };
            return reply.header("Content-Type", media_type);
        }
        match path
            .strip_prefix("blobs/")
            .and_then(|key| self.blobs.get(key))
        {
            Some(bytes) if request.from == 0 => Reply {
                body: bytes.clone(),
                ..Reply::status(200)
            },
            Some(bytes) => {
                let (from, last) = (request.from, bytes.len() - 1);
                let reply = Reply {
                    body: bytes[from..].to_vec(),
                    ..Reply::status(206)
                };
                reply.header(
                    "Content-Range",
                    format!("bytes {from}-{last}/{}", bytes.len()),
                )
            }
            None => Reply::json(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such thing"}]}"#,
            ),
        }
    }

    /// Whether this request is for the layer with this number, from 0.
    pub(crate) fn is_layer(&self, request: &Request, number: usize) -> bool {
        request.path.ends_with(&self.layers[number])
    }
}
