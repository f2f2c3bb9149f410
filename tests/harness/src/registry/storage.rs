//! The folder that a docker-registry serves. Main type: [`Storage`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::{Blob, Content};

/// Repositories with their tags, and the blobs that they share.
#[derive(Clone, Debug)]
pub struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// In this folder; it is made if it is missing.
    pub fn new(folder: &Path) -> Result<Self> {
        let storage = Self {
            folder: folder.to_owned(),
        };
        let root = storage.root();
        fs::create_dir_all(&root).with_context(|| format!("create {root:?}"))?;
        Ok(storage)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts an image there under a tag; the tag leads to it from now on.
    pub fn put(&self, repository: &str, tag: &str, content: &Content<'_>) -> Result<()> {
        let place = self.root().join("repositories").join(repository);
        for blob in &content.blobs {
            self.put_blob(blob)?;
            link(&place.join("_layers/sha256").join(blob.hex()), blob)?;
        }
        for manifest in content.manifests.iter().copied().chain([&content.root]) {
            self.put_blob(manifest)?;
            link(
                &place
                    .join("_manifests/revisions/sha256")
                    .join(manifest.hex()),
                manifest,
            )?;
        }
        let tag = place.join("_manifests/tags").join(tag);
        link(
            &tag.join("index/sha256").join(content.root.hex()),
            &content.root,
        )?;
        link(&tag.join("current"), &content.root)
    }

    fn root(&self) -> PathBuf {
        self.folder.join("docker/registry/v2")
    }

    fn put_blob(&self, blob: &Blob) -> Result<()> {
        let hex = blob.hex();
        let first = hex.get(..2).context("a digest of SHA-256")?;
        let folder = self.root().join("blobs/sha256").join(first).join(hex);
        write(&folder, "data", &blob.bytes)
    }
}

/// A file whose content is the digest that its folder is about.
fn link(folder: &Path, blob: &Blob) -> Result<()> {
    write(folder, "link", blob.digest.as_bytes())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {folder:?}"))?;
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("write {path:?}"))
}
