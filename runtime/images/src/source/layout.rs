//! An OCI image layout: `index.json` → (index →) manifest → configuration and layers.
//!
//! Spec: OCI image spec 1.1, image-layout.md. The documents themselves are read in `documents`.

use serde::Deserialize;

use super::documents::{self, Descriptor, Index, Manifest, member, parse, parse_digest};
use super::{Found, Members, SourceError, platform};
use crate::digest::Digest;
use crate::layer::printable;
use crate::limits;
use crate::reference::Reference;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) fn find(members: &Members, name: Option<&Reference>) -> Result<Found, SourceError> {
    let layout: Layout = parse(
        "oci-layout",
        &members.read("oci-layout", limits::MANIFEST_BYTES)?,
    )?;
    if !layout.image_layout_version.starts_with("1.") {
        let media_type = format!("OCI layout version {}", layout.image_layout_version);
        return Err(SourceError::MediaType {
            what: "oci-layout".to_owned(),
            media_type,
        });
    }
    let index: Index = parse(
        "index.json",
        &members.read("index.json", limits::MANIFEST_BYTES)?,
    )?;
    let chosen = choose_image(index.manifests, name)?;
    let names = chosen.iter().filter_map(own_name).collect();
    let mut manifests = Vec::new();
    flatten(members, chosen, 0, &mut manifests)?;
    let platforms: Vec<_> = manifests
        .iter()
        .map(|found| found.platform.clone())
        .collect();
    let place = platform::choose(&platforms).ok_or_else(|| SourceError::Platform {
        found: platform::describe(&platforms),
    })?;
    let descriptor = manifests.swap_remove(place);
    let (digest, bytes) = document(members, &descriptor, "manifest", limits::MANIFEST_BYTES)?;
    let manifest = Manifest::parse(&format!("manifest {digest}"), &bytes)?;
    let config = &manifest.config;
    let (_, config_bytes) = document(members, config, "image configuration", limits::CONFIG_BYTES)?;
    let layers = manifest
        .layers
        .iter()
        .map(documents::found_layer)
        .collect::<Result<_, _>>()?;
    Ok(Found {
        manifest: Some(digest),
        config_bytes,
        layers,
        names,
    })
}

/// The descriptors of `index.json` that belong to the image asked for: one, or one a platform.
fn choose_image(
    mut descriptors: Vec<Descriptor>,
    name: Option<&Reference>,
) -> Result<Vec<Descriptor>, SourceError> {
    if let Some(name) = name
        && descriptors
            .iter()
            .any(|descriptor| is_named(descriptor, name))
    {
        descriptors.retain(|descriptor| is_named(descriptor, name));
        return Ok(descriptors);
    }
    let mut names: Vec<_> = descriptors.iter().map(label).collect();
    names.sort();
    names.dedup();
    if names.len() > 1 {
        let shown: Vec<_> = names
            .into_iter()
            .map(|name| name.unwrap_or_default())
            .collect();
        return Err(SourceError::Several {
            found: printable(shown.join(", ").as_bytes()),
        });
    }
    let unplaced = descriptors
        .iter()
        .filter(|descriptor| descriptor.platform.is_none());
    if descriptors.len() > 1 && unplaced.count() > 1 {
        let digests: Vec<_> = descriptors
            .iter()
            .map(|found| found.digest.as_str())
            .collect();
        return Err(SourceError::Several {
            found: printable(digests.join(", ").as_bytes()),
        });
    }
    Ok(descriptors)
}

fn label(descriptor: &Descriptor) -> Option<String> {
    let annotations = &descriptor.annotations;
    annotations
        .get(CONTAINERD_NAME)
        .or_else(|| annotations.get(REF_NAME))
        .cloned()
}

/// The descriptor's name if it is a whole one; a bare tag names nothing.
fn own_name(descriptor: &Descriptor) -> Option<Reference> {
    let name = label(descriptor)?;
    if name.contains(['/', ':']) {
        name.parse().ok()
    } else {
        None
    }
}

fn is_named(descriptor: &Descriptor, name: &Reference) -> bool {
    own_name(descriptor).as_ref() == Some(name)
        || label(descriptor).is_some_and(|label| name.tag() == Some(&label))
}

/// Replaces indexes by what they list.
fn flatten(
    members: &Members,
    descriptors: Vec<Descriptor>,
    depth: usize,
    manifests: &mut Vec<Descriptor>,
) -> Result<(), SourceError> {
    if depth > limits::INDEX_DEPTH {
        return Err(SourceError::Nested(limits::INDEX_DEPTH));
    }
    for descriptor in descriptors {
        if descriptor.is_index() {
            let (digest, bytes) = document(members, &descriptor, "index", limits::MANIFEST_BYTES)?;
            let index: Index = parse(&format!("index {digest}"), &bytes)?;
            flatten(members, index.manifests, depth + 1, manifests)?;
        } else if descriptor.is_manifest() {
            manifests.push(descriptor);
        } else {
            let what = format!("manifest {}", printable(descriptor.digest.as_bytes()));
            let media_type = printable(descriptor.media_type.as_bytes());
            return Err(SourceError::MediaType { what, media_type });
        }
        if manifests.len() > limits::ARCHIVE_MEMBERS {
            let limit = limits::ARCHIVE_MEMBERS;
            return Err(SourceError::TooMany {
                what: "manifests",
                limit,
            });
        }
    }
    Ok(())
}

/// Reads a document behind a descriptor and checks size and digest.
fn document(
    members: &Members,
    descriptor: &Descriptor,
    kind: &str,
    limit: u64,
) -> Result<(Digest, Vec<u8>), SourceError> {
    let expected = parse_digest(descriptor, kind)?;
    let what = || format!("{kind} {expected}");
    if descriptor.size > limit {
        return Err(SourceError::TooLarge {
            what: what(),
            size: descriptor.size,
            limit,
        });
    }
    let bytes = members.read(&member(expected), limit)?;
    if bytes.len() as u64 != descriptor.size {
        let (expected, got) = (descriptor.size, bytes.len() as u64);
        return Err(SourceError::Size {
            what: what(),
            expected,
            got,
        });
    }
    let got = Digest::of(&bytes);
    if got != expected {
        return Err(SourceError::Digest {
            what: what(),
            expected,
            got,
        });
    }
    Ok((expected, bytes))
}
