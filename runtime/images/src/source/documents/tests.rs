//! Tests of documents as registries send them: what they are, which manifest is ours, what is refused.

use serde_json::{Value, json};

use super::{DOCUMENT_TYPES, Document};
use crate::digest::Digest;

const INDEX: &str = DOCUMENT_TYPES[0];
const MANIFEST: &str = DOCUMENT_TYPES[2];

fn descriptor(media_type: &str, content: &str, platform: Option<&str>) -> Value {
    let mut descriptor = json!({
        "mediaType": media_type, "digest": Digest::of(content.as_bytes()).to_string(), "size": content.len()
    });
    if let Some((os, architecture)) = platform.and_then(|platform| platform.split_once('/')) {
        descriptor["platform"] = json!({ "os": os, "architecture": architecture });
    }
    descriptor
}

fn check(media_type: &str, document: &Value, expect: Result<&str, &str>) {
    let bytes = serde_json::to_vec(document).unwrap();
    let kind = match Document::parse("it", media_type, &bytes) {
        Ok(Document::Index(index)) => index.choose().map(|promise| promise.digest.to_string()),
        Ok(Document::Manifest(manifest)) => {
            manifest.config().map(|promise| promise.digest.to_string())
        }
        Err(error) => Err(error),
    };
    match (kind, expect) {
        (Ok(digest), Ok(content)) => {
            assert_eq!(digest, Digest::of(content.as_bytes()).to_string());
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (got, expect) => panic!("{document}: got {got:?}, expected {expect:?}"),
    }
}

#[test]
fn index_gives_our_platform_wherever_it_stands() {
    let arm = descriptor(MANIFEST, "arm", Some("linux/arm64"));
    let ours = descriptor(MANIFEST, "ours", Some("linux/amd64"));
    let artifact = descriptor("application/vnd.example.signature", "sig", None);
    let attestation = descriptor(MANIFEST, "att", Some("unknown/unknown"));
    let index = json!({ "manifests": [arm, artifact, attestation, ours] });
    check(INDEX, &index, Ok("ours"));
    // What object stores say of every JSON file.
    check("application/json", &index, Ok("ours"));
    check(
        INDEX,
        &json!({ "manifests": [arm] }),
        Err("there are: linux/arm64"),
    );
    check(
        INDEX,
        &json!({ "manifests": [artifact] }),
        Err("there are: none"),
    );
    let many: Vec<_> = (0..1025).map(|_| ours.clone()).collect();
    check(INDEX, &json!({ "manifests": many }), Err("more than 1024"));
}

#[test]
fn document_is_what_it_holds_and_what_it_is_called() {
    let config = descriptor("application/vnd.oci.image.config.v1+json", "config", None);
    let manifest = json!({ "mediaType": MANIFEST, "config": config, "layers": [] });
    check(MANIFEST, &manifest, Ok("config"));
    check("", &manifest, Ok("config"));
    check(INDEX, &manifest, Err("media type"));
    let both = json!({ "config": config, "layers": [], "manifests": [] });
    check(MANIFEST, &both, Err("index and manifest at once"));
    check(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        &json!({ "fsLayers": [], "schemaVersion": 1 }),
        Err("manifest.v1+prettyjws"),
    );
    check(MANIFEST, &json!([]), Err("no valid document"));
    let many: Vec<_> = (0..257).map(|_| config.clone()).collect();
    let manifest = json!({ "config": config, "layers": many });
    check(MANIFEST, &manifest, Err("more than 256"));
}
