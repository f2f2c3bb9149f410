//! Makes image archives for the tests, of this crate's parts and of the whole, out of tar
//! streams that the harness makes.
//!
//! Main type: [`Packed`] (one layer). Compiled for tests only; the integration tests include this
//! file by path, so it uses nothing of the crate.

use std::fs;
use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// A layer as it stands in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) diff_id: String,
}

pub(crate) fn plain(tar: Vec<u8>) -> Packed {
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    Packed {
        media_type,
        diff_id: sha256(&tar),
        bytes: tar,
    }
}

pub(crate) fn gzip(tar: &[u8]) -> Packed {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    let bytes = encoder.finish().unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    Packed {
        bytes,
        media_type,
        diff_id: sha256(tar),
    }
}

pub(crate) fn zstandard(tar: &[u8]) -> Packed {
    let bytes = zstd::encode_all(tar, 1).unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
    Packed {
        bytes,
        media_type,
        diff_id: sha256(tar),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// An image configuration for these layers.
pub(crate) fn config(architecture: &str, layers: &[Packed]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let config = serde_json::json!({
        "created": "2026-01-02T03:04:05Z",
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    serde_json::to_vec(&config).unwrap()
}

/// Puts a blob into a layout and gives its descriptor.
pub(crate) fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> serde_json::Value {
    let digest = sha256(bytes);
    let folder = layout.join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&digest["sha256:".len()..]), bytes).unwrap();
    serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// Puts an image's blobs into a layout and gives its manifest's descriptor.
pub(crate) fn manifest(layout: &Path, architecture: &str, layers: &[Packed]) -> serde_json::Value {
    let config = config(architecture, layers);
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", &config);
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| blob(layout, layer.media_type, &layer.bytes))
        .collect();
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    blob(layout, "application/vnd.oci.image.manifest.v1+json", &bytes)
}

/// Finishes a layout with these descriptors in `index.json`.
pub(crate) fn index(layout: &Path, manifests: &[serde_json::Value]) {
    fs::create_dir_all(layout).unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(
        layout.join("index.json"),
        serde_json::to_vec(&index).unwrap(),
    )
    .unwrap();
}

/// An OCI layout folder with one image.
pub(crate) fn layout(folder: &Path, layers: &[Packed]) {
    let manifest = manifest(folder, "amd64", layers);
    index(folder, &[manifest]);
}
