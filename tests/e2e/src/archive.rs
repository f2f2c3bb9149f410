//! Image archives made in memory, right ones and broken ones.
//!
//! Main types: [`Layer`], a tar stream in the making, and [`Archive`], whose members a test may spoil before it is
//! written. The formats: OCI image layout 1.0 in a tar file, and what `docker save` writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const LAYOUT: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layer being written. A write to memory cannot fail, but the tar format can refuse a name.
pub(crate) struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(crate) fn folder(self, path: &str, mode: u32) -> Result<Self> {
        self.entry(EntryType::Directory, path, mode, None, b"")
    }

    pub(crate) fn file(self, path: &str, mode: u32, bytes: &[u8]) -> Result<Self> {
        self.entry(EntryType::Regular, path, mode, None, bytes)
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Result<Self> {
        self.entry(EntryType::Symlink, path, 0o777, Some(target), b"")
    }

    /// An entry whose path stands in it as it is: `tar` itself refuses to write one that climbs out.
    pub(crate) fn file_at_raw_path(mut self, path: &str, bytes: &[u8]) -> Result<Self> {
        let mut header = header(EntryType::Regular, 0o644, bytes)?;
        let name = header
            .as_old_mut()
            .name
            .get_mut(..path.len())
            .context("the path fits a tar header")?;
        name.copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).context("add a layer entry")?;
        Ok(self)
    }

    pub(crate) fn finish(self) -> Result<Packed> {
        let plain = self.0.into_inner().context("finish the layer")?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).context("compress a layer")?;
        let packed = encoder.finish().context("compress a layer")?;
        Ok(Packed {
            diff_id: sha256(&plain),
            digest: sha256(&packed),
            plain,
            packed,
        })
    }

    fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        mode: u32,
        link: Option<&str>,
        bytes: &[u8],
    ) -> Result<Self> {
        let mut header = header(kind, mode, bytes)?;
        let added = match link {
            Some(target) => self.0.append_link(&mut header, path, target),
            None => self.0.append_data(&mut header, path, bytes),
        };
        added.with_context(|| format!("add {path} to a layer"))?;
        Ok(self)
    }
}

fn header(kind: EntryType, mode: u32, bytes: &[u8]) -> Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(u64::try_from(bytes.len()).context("a length fits 64 bits")?);
    Ok(header)
}

/// A whole layer, plain and by gzip, with the digests of both: they are dear where everything is emulated.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    pub(crate) plain: Vec<u8>,
    diff_id: String,
    packed: Vec<u8>,
    digest: String,
}

/// An image archive's members by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Archive {
    pub(crate) members: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// An OCI layout with gzip layers.
    pub(crate) fn oci(name: &str, layers: &[&Packed]) -> Self {
        let mut archive = Self::default();
        let config = archive.blob(config(layers).to_string().into_bytes());
        let mut entries = Vec::new();
        for layer in layers {
            let (digest, size) = archive.blob_with(&layer.digest, layer.packed.clone());
            entries.push(
                json!({"mediaType": format!("{LAYOUT}+gzip"), "digest": digest, "size": size}),
            );
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config.0, "size": config.1},
            "layers": entries,
        });
        let (digest, size) = archive.blob(manifest.to_string().into_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST,
            "digest": digest,
            "size": size,
            "platform": {"architecture": "amd64", "os": "linux"},
            "annotations": {"org.opencontainers.image.ref.name": name},
        }]});
        archive.text("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
        archive.text("index.json", &index);
        archive
    }

    /// What `docker save` writes, with plain layers.
    pub(crate) fn docker(name: &str, layers: &[&Packed]) -> Self {
        let mut archive = Self::default();
        let config = config(layers).to_string().into_bytes();
        let config_name = format!("{}.json", sha256(&config));
        let names: Vec<String> = layers
            .iter()
            .map(|layer| format!("{}/layer.tar", layer.diff_id))
            .collect();
        for (name, layer) in names.iter().zip(layers) {
            archive.members.insert(name.clone(), layer.plain.clone());
        }
        archive.members.insert(config_name.clone(), config);
        archive.text(
            "manifest.json",
            &json!([{"Config": config_name, "RepoTags": [name], "Layers": names}]),
        );
        archive
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut builder = Builder::new(Vec::new());
        for (name, bytes) in &self.members {
            let mut header = header(EntryType::Regular, 0o644, bytes)?;
            builder
                .append_data(&mut header, name, bytes.as_slice())
                .context("add a member to the archive")?;
        }
        let bytes = builder.into_inner().context("finish the archive")?;
        let mut file = File::create(path).with_context(|| format!("make {}", path.display()))?;
        file.write_all(&bytes)
            .with_context(|| format!("write {}", path.display()))
    }

    /// Adds a blob; its digest and size.
    fn blob(&mut self, bytes: Vec<u8>) -> (String, usize) {
        self.blob_with(&sha256(&bytes), bytes)
    }

    fn blob_with(&mut self, hex: &str, bytes: Vec<u8>) -> (String, usize) {
        let size = bytes.len();
        self.members.insert(format!("blobs/sha256/{hex}"), bytes);
        (format!("sha256:{hex}"), size)
    }

    fn text(&mut self, name: &str, value: &Value) {
        self.members
            .insert(name.to_owned(), value.to_string().into_bytes());
    }
}

fn config(layers: &[&Packed]) -> Value {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.diff_id))
        .collect();
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
