//! The forms in which an image is written: a layout folder and an OCI archive (OCI image layout specification), and what
//! `docker save` writes. Main types: [`Bundle`], one built image; [`MultiArch`], several under one name.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Bytes with a digest and a type.
#[derive(Clone, Debug)]
pub struct Blob {
    pub media_type: String,
    /// "sha256:…"
    pub digest: String,
    pub bytes: Vec<u8>,
}

impl Blob {
    pub(super) fn new(media_type: &str, bytes: Vec<u8>) -> Blob {
        Blob {
            media_type: media_type.to_owned(),
            digest: digest(&bytes),
            bytes,
        }
    }

    pub(super) fn of_json(media_type: &str, value: &Value) -> Result<Blob> {
        Ok(Blob::new(media_type, serde_json::to_vec(value)?))
    }

    fn descriptor(&self) -> Value {
        let size = self.bytes.len();
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": size })
    }

    pub(crate) fn hex(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or(&self.digest)
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// One image: its blobs may be looked at, or spoiled, before it is written.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub reference: String,
    pub architecture: String,
    pub manifest: Blob,
    pub config: Blob,
    pub layers: Vec<Blob>,
}

impl Bundle {
    pub(super) fn new(
        reference: &str,
        architecture: &str,
        config: Blob,
        layers: Vec<Blob>,
    ) -> Result<Bundle> {
        let manifest = Blob::of_json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
            }),
        )?;
        let (reference, architecture) = (reference.to_owned(), architecture.to_owned());
        Ok(Bundle {
            reference,
            architecture,
            manifest,
            config,
            layers,
        })
    }

    /// Writes the layout into a new or empty folder.
    pub fn write_layout(&self, folder: &Path) -> Result<()> {
        write_folder(&self.layout()?, folder)
    }

    pub fn write_oci_archive(&self, path: &Path) -> Result<()> {
        write_tar(&self.layout()?, path)
    }

    /// What `docker save` writes: layers under their own names, and a list of them in `manifest.json`.
    pub fn write_docker_archive(&self, path: &Path) -> Result<()> {
        let config = format!("{}.json", self.config.hex());
        let layer_name = |layer: &Blob| format!("{}/layer.tar", layer.hex());
        let names: Vec<String> = self.layers.iter().map(layer_name).collect();
        let list = json!([{ "Config": config, "RepoTags": [self.reference], "Layers": names }]);
        let mut files = vec![
            ("manifest.json".to_owned(), serde_json::to_vec(&list)?),
            (config, self.config.bytes.clone()),
        ];
        files.extend(
            names
                .into_iter()
                .zip(self.layers.iter().map(|layer| layer.bytes.clone())),
        );
        files.dedup_by(|next, kept| next.0 == kept.0);
        write_tar(&files, path)
    }

    fn layout(&self) -> Result<Vec<(String, Vec<u8>)>> {
        layout(&self.reference, self.manifest.descriptor(), self.blobs())
    }

    /// All of it, as a registry has it.
    pub fn content(&self) -> Content<'_> {
        Content {
            root: self.manifest.clone(),
            manifests: Vec::new(),
            blobs: self.layers.iter().chain([&self.config]).collect(),
        }
    }

    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain([&self.config, &self.manifest])
    }
}

/// What a registry's tag leads to: one manifest or index, the manifests that it names, and everything that those name.
#[derive(Clone, Debug)]
pub struct Content<'a> {
    pub root: Blob,
    pub manifests: Vec<&'a Blob>,
    pub blobs: Vec<&'a Blob>,
}

/// Images for several architectures under one name: an index that the layout's own index points to.
#[derive(Clone, Debug)]
pub struct MultiArch {
    reference: String,
    images: Vec<Bundle>,
}

impl MultiArch {
    pub fn new(reference: &str, images: Vec<Bundle>) -> MultiArch {
        MultiArch {
            reference: reference.to_owned(),
            images,
        }
    }

    pub fn write_layout(&self, folder: &Path) -> Result<()> {
        write_folder(&self.layout()?, folder)
    }

    pub fn write_oci_archive(&self, path: &Path) -> Result<()> {
        write_tar(&self.layout()?, path)
    }

    /// All of it, as a registry has it.
    pub fn content(&self) -> Result<Content<'_>> {
        let parts = |image| Bundle::content(image).blobs;
        Ok(Content {
            root: self.index()?,
            manifests: self.images.iter().map(|image| &image.manifest).collect(),
            blobs: self.images.iter().flat_map(parts).collect(),
        })
    }

    fn layout(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let index = self.index()?;
        let blobs = self.images.iter().flat_map(Bundle::blobs).chain([&index]);
        layout(&self.reference, index.descriptor(), blobs)
    }

    fn index(&self) -> Result<Blob> {
        let with_platform = |image: &Bundle| {
            let mut descriptor = image.manifest.descriptor();
            descriptor["platform"] = json!({ "architecture": image.architecture, "os": "linux" });
            descriptor
        };
        let manifests: Vec<Value> = self.images.iter().map(with_platform).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        Blob::of_json(INDEX, &index)
    }
}

/// The files of a layout: path and content.
fn layout<'a>(
    reference: &str,
    mut root: Value,
    blobs: impl Iterator<Item = &'a Blob>,
) -> Result<Vec<(String, Vec<u8>)>> {
    root["annotations"] = json!({ REF_NAME: reference });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [root] });
    let mut files = vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), serde_json::to_vec(&index)?),
    ];
    for blob in blobs {
        let path = format!("blobs/sha256/{}", blob.hex());
        // Two layers with the same content are one blob.
        if files.iter().all(|(there, _)| *there != path) {
            files.push((path, blob.bytes.clone()));
        }
    }
    Ok(files)
}

fn write_folder(files: &[(String, Vec<u8>)], folder: &Path) -> Result<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("create {blobs:?}"))?;
    for (path, content) in files {
        let path = folder.join(path);
        fs::write(&path, content).with_context(|| format!("write {path:?}"))?;
    }
    Ok(())
}

fn write_tar(files: &[(String, Vec<u8>)], path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("create {path:?}"))?;
    let mut builder = Builder::new(std::io::BufWriter::new(file));
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_slice())?;
    }
    builder
        .into_inner()?
        .flush()
        .with_context(|| format!("write {path:?}"))
}
