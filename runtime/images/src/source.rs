//! Where an image comes from: an OCI layout, or what `docker save` writes, each as a folder or a tar.
//!
//! [`open`] finds out which and gives a [`SourceImage`] whose documents are checked: the digests and
//! sizes of manifest and configuration, platform, number of layers. The layers' bytes are checked
//! by `layer` when they are read. Rooms: `members` (files of an archive by name), `layout`, `docker`,
//! `documents` (which registries send too), `platform`. Above: `store`.

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::{Arch, ImageConfiguration, Os};

use crate::digest::{Digest, DigestError};
use crate::layer::{LayerError, Packing};
use crate::limits;
use crate::reference::Reference;

mod docker;
pub(crate) mod documents;
mod layout;
mod members;
mod platform;

pub(crate) use members::Members;

/// An archive is none, or is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file could not be opened or read.
    #[error("read {path}")]
    Read {
        /// The file, or the archive and the member in it.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither folder nor regular file.
    #[error("{0} is neither a folder nor a regular file")]
    Kind(PathBuf),
    /// A packed archive that can't be unpacked.
    #[error("unpack the archive {path}, which is packed with {packing}")]
    Packed {
        /// The archive.
        path: PathBuf,
        /// What with.
        packing: Packing,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// Not tar, or a damaged one.
    #[error("{path} is not a tar archive that can be read to its end")]
    Tar {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: LayerError,
    },
    /// A tar or folder without an image in it.
    #[error(
        "{0} holds no image: an OCI layout has `oci-layout` and `index.json`, \
         a docker archive has `manifest.json`"
    )]
    NoImage(PathBuf),
    /// A file that is named but not there.
    #[error("`{member}` is missing from the archive; it may have been saved incompletely")]
    Missing {
        /// Its name.
        member: String,
    },
    /// Two members of one name, a sparse member, a link in a circle.
    #[error("member `{member}` of the archive {problem}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A document is larger than any in use.
    #[error("{what} has {size} bytes; more than {limit} are refused")]
    TooLarge {
        /// Which.
        what: String,
        /// Its size.
        size: u64,
        /// The limit in `limits.rs`.
        limit: u64,
    },
    /// More than there may be.
    #[error("the {what} are more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit in `limits.rs`.
        limit: usize,
    },
    /// JSON that does not parse.
    #[error("{what} is no valid document of its kind")]
    Json {
        /// Which document.
        what: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The image configuration does not parse.
    #[error("image configuration {digest} is not valid")]
    Config {
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        #[source]
        source: oci_spec::OciSpecError,
    },
    /// The image configuration has bytes that are no text.
    #[error("image configuration {digest} is not UTF-8")]
    Text {
        /// Its digest.
        digest: Digest,
        /// Where it breaks.
        #[source]
        source: std::string::FromUtf8Error,
    },
    /// A digest in a document is none.
    #[error("{what} names a bad digest")]
    BadDigest {
        /// Which document.
        what: String,
        /// What is wrong.
        #[source]
        source: DigestError,
    },
    /// Bytes that are not those promised.
    #[error("{what} has digest {got}, but {expected} was promised")]
    Digest {
        /// Which document.
        what: String,
        /// What the descriptor says.
        expected: Digest,
        /// What the bytes have.
        got: Digest,
    },
    /// A size that is not the one promised.
    #[error("{what} has {got} bytes, but its descriptor says {expected}")]
    Size {
        /// Which document.
        what: String,
        /// What the descriptor says.
        expected: u64,
        /// What is there.
        got: u64,
    },
    /// A media type that we cannot read.
    #[error("{what} has the media type `{media_type}`, which is not supported")]
    MediaType {
        /// Which.
        what: String,
        /// The type.
        media_type: String,
    },
    /// No manifest for us.
    #[error("the image has no variant for linux/amd64; there are: {found}")]
    Platform {
        /// What there is.
        found: String,
    },
    /// Several images and no way to choose.
    #[error("the archive holds several images: {found}; name the one to import")]
    Several {
        /// Their names.
        found: String,
    },
    /// Indexes in indexes.
    #[error("the image's indexes are nested deeper than {0}")]
    Nested(usize),
    /// Manifest and configuration disagree.
    #[error("the manifest has {layers} layers, but the configuration lists {diff_ids} diff_ids")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

/// An image whose documents are read and right.
#[derive(Debug)]
pub(crate) struct SourceImage {
    pub(crate) members: Members,
    /// Digest of the configuration.
    pub(crate) id: Digest,
    /// Digest of the manifest, where there is one.
    pub(crate) manifest: Option<Digest>,
    /// The configuration as it came.
    pub(crate) config_text: String,
    /// Bottom first.
    pub(crate) layers: Vec<SourceLayer>,
    /// Names that the archive gives.
    pub(crate) names: Vec<Reference>,
}

#[derive(Clone, Debug)]
pub(crate) struct SourceLayer {
    pub(crate) member: String,
    pub(crate) promised: Option<(Digest, u64)>,
    pub(crate) label: Option<Packing>,
    pub(crate) diff_id: Digest,
}

/// What an archive says about one image before its configuration is read.
#[derive(Debug)]
struct Found {
    manifest: Option<Digest>,
    config_bytes: Vec<u8>,
    /// Bottom first.
    layers: Vec<FoundLayer>,
    names: Vec<Reference>,
}

/// A layer as its manifest describes it.
#[derive(Debug)]
struct FoundLayer {
    member: String,
    promised: Option<(Digest, u64)>,
    label: Option<Packing>,
}

/// Opens a folder or an archive and reads the image in it; `name` chooses among several. A packed archive is unpacked
/// into `scratch`, a folder of the caller's that is going to go.
pub(crate) fn open(
    path: &Path,
    name: Option<&Reference>,
    scratch: &Path,
) -> Result<SourceImage, SourceError> {
    let members = Members::open(path, scratch)?;
    // `docker save` writes both since version 25; a layout promises more digests.
    let found = if members.has("oci-layout") && members.has("index.json") {
        layout::find(&members, name)?
    } else if members.has("manifest.json") {
        docker::find(&members, name)?
    } else {
        return Err(SourceError::NoImage(path.to_owned()));
    };
    complete(members, found)
}

/// Reads the configuration and joins its diff_ids to the layers.
fn complete(members: Members, found: Found) -> Result<SourceImage, SourceError> {
    let (id, config_text, diff_ids) = join(found.config_bytes, found.layers.len())?;
    let layers = found.layers.into_iter().zip(diff_ids);
    let layers = layers.map(|(layer, diff_id)| SourceLayer {
        member: layer.member,
        promised: layer.promised,
        label: layer.label,
        diff_id,
    });
    Ok(SourceImage {
        layers: layers.collect(),
        members,
        id,
        manifest: found.manifest,
        config_text,
        names: found.names,
    })
}

/// Reads an image configuration: its digest, its text, and one diff_id for each of the layers.
pub(crate) fn join(
    config: Vec<u8>,
    layers: usize,
) -> Result<(Digest, String, Vec<Digest>), SourceError> {
    let id = Digest::of(&config);
    let parsed = ImageConfiguration::from_reader(config.as_slice())
        .map_err(|source| SourceError::Config { digest: id, source })?;
    let config_text =
        String::from_utf8(config).map_err(|source| SourceError::Text { digest: id, source })?;
    if *parsed.os() != Os::Linux || *parsed.architecture() != Arch::Amd64 {
        let found = format!("{}/{}", parsed.os(), parsed.architecture());
        return Err(SourceError::Platform { found });
    }
    if layers > limits::LAYERS {
        return Err(SourceError::TooMany {
            what: "layers",
            limit: limits::LAYERS,
        });
    }
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != layers {
        let diff_ids = diff_ids.len();
        return Err(SourceError::LayerCount { layers, diff_ids });
    }
    let diff_ids = diff_ids.iter().map(|diff_id| {
        diff_id.parse().map_err(|source| SourceError::BadDigest {
            what: "the image configuration".to_owned(),
            source,
        })
    });
    Ok((id, config_text, diff_ids.collect::<Result<_, _>>()?))
}
