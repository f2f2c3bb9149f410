//! What `docker save` writes: `manifest.json` → configuration and layers.
//!
//! Old archives keep a layer as `<id>/layer.tar`, new ones as `blobs/sha256/<digest>`; either way
//! `manifest.json` names the files, and no digest or type of a packed layer is given: the packing is
//! told from the bytes and the content is checked against the configuration's diff_ids.

use serde::Deserialize;

use super::{Found, FoundLayer, Members, SourceError};
use crate::digest::Digest;
use crate::layer::printable;
use crate::limits;
use crate::reference::Reference;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Saved {
    fn names(&self) -> Vec<Reference> {
        self.repo_tags
            .iter()
            .flatten()
            .filter_map(|name| name.parse().ok())
            .collect()
    }
}

pub(super) fn find(members: &Members, name: Option<&Reference>) -> Result<Found, SourceError> {
    let bytes = members.read("manifest.json", limits::MANIFEST_BYTES)?;
    let saved: Vec<Saved> = serde_json::from_slice(&bytes).map_err(|source| SourceError::Json {
        what: "manifest.json".to_owned(),
        source,
    })?;
    let saved = choose(saved, name)?;
    if saved.layers.len() > limits::LAYERS {
        return Err(SourceError::TooMany {
            what: "layers",
            limit: limits::LAYERS,
        });
    }
    let config_bytes = members.read(&saved.config, limits::CONFIG_BYTES)?;
    check_config(&saved.config, &config_bytes)?;
    let names = saved.names();
    let layers = saved
        .layers
        .into_iter()
        .map(|member| FoundLayer {
            member,
            promised: None,
            label: None,
        })
        .collect();
    Ok(Found {
        manifest: None,
        config_bytes,
        layers,
        names,
    })
}

fn choose(mut saved: Vec<Saved>, name: Option<&Reference>) -> Result<Saved, SourceError> {
    if let Some(name) = name
        && let Some(place) = saved.iter().position(|saved| saved.names().contains(name))
    {
        return Ok(saved.swap_remove(place));
    }
    if saved.len() > 1 {
        let found: Vec<_> = saved.iter().map(describe).collect();
        return Err(SourceError::Several {
            found: printable(found.join(", ").as_bytes()),
        });
    }
    saved.pop().ok_or_else(|| SourceError::Missing {
        member: "an image in manifest.json".to_owned(),
    })
}

fn describe(saved: &Saved) -> String {
    let tags = saved.repo_tags.iter().flatten().next();
    tags.cloned().unwrap_or_else(|| saved.config.clone())
}

/// The configuration's file is named by its digest: `<hex>.json` or `blobs/sha256/<hex>`.
fn check_config(member: &str, bytes: &[u8]) -> Result<(), SourceError> {
    let file = member.rsplit('/').next().unwrap_or(member);
    let hex = file.strip_suffix(".json").unwrap_or(file);
    let got = Digest::of(bytes);
    match format!("sha256:{hex}").parse::<Digest>() {
        Ok(expected) if expected != got => Err(SourceError::Digest {
            what: format!("image configuration {hex}"),
            expected,
            got,
        }),
        _ => Ok(()),
    }
}
