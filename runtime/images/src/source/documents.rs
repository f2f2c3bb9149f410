//! Indexes and manifests, wherever they come from: an archive's layout or a registry.
//!
//! Main types: [`Document`], which is an index or a manifest, and [`ImagePlan`], an image that is known but for its
//! layers' bytes. Spec: OCI image spec 1.1, image-index.md, manifest.md, descriptor.md. Docker's media types are taken
//! as well, since registries hand them out and tools store them unchanged. Used by `layout`, and by `registry`.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::platform::{self, Platform};
use super::{FoundLayer, SourceError, join};
use crate::digest::Digest;
use crate::layer::{Packing, printable};
use crate::limits;

const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The media types that [`Document::parse`] takes, for an `Accept` header.
pub const DOCUMENT_TYPES: [&str; 4] = [
    INDEX_TYPES[0],
    INDEX_TYPES[1],
    MANIFEST_TYPES[0],
    MANIFEST_TYPES[1],
];

/// What a tag or digest of a registry leads to.
#[derive(Clone, Debug)]
pub enum Document {
    /// One image for each platform.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// A list of manifests, one a platform.
#[derive(Clone, Debug, Deserialize)]
pub struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// An image's configuration and layers, as descriptors.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: HashMap<String, String>,
}

/// Bytes that a document promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// What they hash to.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// An image whose documents are read and right, and whose layers are to be had.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    /// Digest of the configuration, which is the image's id.
    pub id: Digest,
    /// Digest of the manifest; an archive may have none.
    pub manifest: Option<Digest>,
    /// Bottom first.
    pub layers: Vec<PlannedLayer>,
    /// The configuration as it came.
    pub(crate) config_text: String,
}

/// A layer as manifest and configuration describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedLayer {
    /// Digest of the unpacked layer, by which the store knows it.
    pub diff_id: Digest,
    /// Digest and size of the packed bytes.
    pub packed: Promise,
    /// How they are packed.
    pub packing: Packing,
}

/// What tells an index from a manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    media_type: String,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document. `what` names it in messages, `media_type` is the sender's word. A document that can be read in
    /// two ways is refused, lest two readers of one digest see two images (CVE-2021-41190).
    pub fn parse(what: &str, media_type: &str, bytes: &[u8]) -> Result<Self, SourceError> {
        let outline: Outline = parse(what, bytes)?;
        let declared = [media_type, outline.media_type.as_str()];
        let refuse = |media_type: &str| {
            Err(SourceError::MediaType {
                what: what.to_owned(),
                media_type: printable(media_type.as_bytes()),
            })
        };
        let contradicts = |types: &[&str]| {
            let known = |name: &&&str| DOCUMENT_TYPES.contains(name);
            let mut wrong = declared.iter().filter(known);
            wrong.find(|name| !types.contains(name)).copied()
        };
        match (outline.manifests.is_some(), outline.layers.is_some()) {
            (true, false) => match contradicts(&INDEX_TYPES) {
                Some(other) => refuse(other),
                None => Ok(Self::Index(parse(what, bytes)?)),
            },
            (false, true) => match contradicts(&MANIFEST_TYPES) {
                Some(other) => refuse(other),
                None => Ok(Self::Manifest(Manifest::parse(what, bytes)?)),
            },
            (true, true) => refuse("index and manifest at once"),
            (false, false) => refuse(media_type),
        }
    }
}

impl Index {
    /// The manifest, or further index, for linux/amd64.
    pub fn choose(&self) -> Result<Promise, SourceError> {
        if self.manifests.len() > limits::INDEX_ENTRIES {
            return Err(SourceError::TooMany {
                what: "manifests",
                limit: limits::INDEX_ENTRIES,
            });
        }
        // Signatures and other artifacts may stand beside images.
        let images = self.manifests.iter().filter(|descriptor| {
            descriptor.media_type.is_empty()
                || DOCUMENT_TYPES.contains(&descriptor.media_type.as_str())
        });
        let images: Vec<_> = images.collect();
        let platforms: Vec<_> = images
            .iter()
            .map(|descriptor| descriptor.platform.clone())
            .collect();
        let place = platform::choose(&platforms);
        match place.and_then(|place| images.get(place)) {
            Some(descriptor) => descriptor.promise("the index"),
            None => Err(SourceError::Platform {
                found: platform::describe(&platforms),
            }),
        }
    }
}

impl Manifest {
    pub(crate) fn parse(what: &str, bytes: &[u8]) -> Result<Self, SourceError> {
        let manifest: Self = parse(what, bytes)?;
        if manifest.layers.len() > limits::LAYERS {
            return Err(SourceError::TooMany {
                what: "layers",
                limit: limits::LAYERS,
            });
        }
        Ok(manifest)
    }

    /// The configuration that belongs to this manifest.
    pub fn config(&self) -> Result<Promise, SourceError> {
        self.config.promise("the manifest")
    }

    /// Joins the configuration's diff_ids to the layers; `digest` is this manifest's own. The caller has checked both
    /// digests.
    pub fn plan(&self, digest: Digest, config: Vec<u8>) -> Result<ImagePlan, SourceError> {
        let found = self.layers.iter().map(|descriptor| {
            let layer = layer(descriptor)?;
            Ok((layer.promised, layer.packing))
        });
        let found: Vec<_> = found.collect::<Result<_, SourceError>>()?;
        let (id, config_text, diff_ids) = join(config, found.len())?;
        let layers = found.into_iter().zip(diff_ids);
        let layers = layers.map(|((packed, packing), diff_id)| PlannedLayer {
            diff_id,
            packed,
            packing,
        });
        Ok(ImagePlan {
            id,
            manifest: Some(digest),
            layers: layers.collect(),
            config_text,
        })
    }
}

impl Descriptor {
    /// What it promises; `what` names the document that it stands in.
    pub(crate) fn promise(&self, what: &str) -> Result<Promise, SourceError> {
        Ok(Promise {
            digest: parse_digest(self, what)?,
            size: self.size,
        })
    }

    pub(crate) fn is_index(&self) -> bool {
        INDEX_TYPES.contains(&self.media_type.as_str())
    }

    pub(crate) fn is_manifest(&self) -> bool {
        MANIFEST_TYPES.contains(&self.media_type.as_str())
    }
}

/// A layer's descriptor, understood.
struct TypedLayer {
    promised: Promise,
    packing: Packing,
}

/// The same for an archive, whose members are named by digest.
pub(super) fn found_layer(descriptor: &Descriptor) -> Result<FoundLayer, SourceError> {
    let TypedLayer { promised, packing } = layer(descriptor)?;
    Ok(FoundLayer {
        member: member(promised.digest),
        promised: Some((promised.digest, promised.size)),
        label: Some(packing),
    })
}

fn layer(descriptor: &Descriptor) -> Result<TypedLayer, SourceError> {
    let promised = descriptor.promise("the manifest")?;
    let packing = match descriptor.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Packing::Plain,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Packing::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Packing::Zstd,
        other => {
            return Err(SourceError::MediaType {
                what: format!("layer {}", promised.digest),
                media_type: printable(other.as_bytes()),
            });
        }
    };
    Ok(TypedLayer { promised, packing })
}

/// Where a layout keeps a blob.
pub(super) fn member(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn parse_digest(descriptor: &Descriptor, what: &str) -> Result<Digest, SourceError> {
    let digest = descriptor.digest.parse();
    digest.map_err(|source| SourceError::BadDigest {
        what: what.to_owned(),
        source,
    })
}

pub(super) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, SourceError> {
    let document = serde_json::from_slice(bytes);
    document.map_err(|source| SourceError::Json {
        what: what.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
