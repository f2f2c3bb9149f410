//! One CDI file: what it may say, and whether it says it rightly (CNCF Container Device Interface, versions 0.3.0 to 1.1). Main
//! types: [`Spec`], [`Edits`]. Above: `cdi`, which collects files. Below: `yaml`.
//!
//! Fields that this crate has no use for are passed over, whatever the version: drivers are ahead of runtimes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::yaml::{self, YamlError};

const OLDEST: (u64, u64) = (0, 3);
const NEWEST: (u64, u64) = (1, 1);

/// Longest name part of a kind, and longest vendor part.
const MAX_CLASS_CHARS: usize = 63;
const MAX_VENDOR_CHARS: usize = 253;

/// What else may be in a vendor's and a class' name, and in a device's.
const PLAIN: &str = "-_.";
const WITH_COLONS: &str = "-_.:";

/// A CDI file that is in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    cdi_version: String,
    /// vendor/class
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) devices: Vec<NamedEdits>,
    /// What every device of the file brings.
    #[serde(default)]
    pub(crate) container_edits: Edits,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamedEdits {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) container_edits: Edits,
}

/// What a device changes in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Edits {
    pub device_nodes: Vec<DeviceNode>,
    /// NAME=VALUE
    pub env: Vec<String>,
    pub mounts: Vec<CdiMount>,
    pub hooks: Vec<Hook>,
}

/// A device node of the host that a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// In the container.
    pub path: String,
    /// On the host, where it is another path.
    pub host_path: Option<String>,
    /// b, c, u or p.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

/// A mount of the host's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiMount {
    pub host_path: String,
    pub container_path: String,
    #[serde(default)]
    pub options: Vec<String>,
}

/// A program that the driver wants to be run on the host. None is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    pub hook_name: String,
    pub path: String,
    #[serde(default)]
    pub args: Vec<String>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("parse JSON")]
    Json(#[source] serde_json::Error),
    #[error("find a CDI spec in it")]
    Shape(#[source] serde_json::Error),
    #[error("cdiVersion {version:?} is not known: this program reads 0.3.0 to 1.1")]
    Version { version: String },
    #[error("kind {kind:?} is not VENDOR/CLASS, such as nvidia.com/gpu")]
    Kind { kind: String },
    #[error("{name:?} is no name of a device")]
    Name { name: String },
    #[error("device {name:?} stands twice")]
    Twice { name: String },
    #[error("there are no devices in it")]
    NoDevices,
    #[error("device node {path:?} is no absolute path")]
    Path { path: String },
}

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl DeviceNode {
    /// Where it is on the host.
    #[must_use]
    pub fn on_host(&self) -> &str {
        self.host_path.as_deref().unwrap_or(&self.path)
    }
}

impl Edits {
    /// These, and then those.
    pub(crate) fn and(mut self, those: Self) -> Self {
        self.device_nodes.extend(those.device_nodes);
        self.env.extend(those.env);
        self.mounts.extend(those.mounts);
        self.hooks.extend(those.hooks);
        self
    }
}

pub(crate) fn parse(text: &str, format: Format) -> Result<Spec, SpecError> {
    let value: Value = match format {
        Format::Json => serde_json::from_str(text).map_err(SpecError::Json)?,
        Format::Yaml => yaml::parse(text)?,
    };
    let spec: Spec = serde_json::from_value(value).map_err(SpecError::Shape)?;
    validate(&spec)?;
    Ok(spec)
}

fn validate(spec: &Spec) -> Result<(), SpecError> {
    let version = &spec.cdi_version;
    if !release(version).is_some_and(|release| (OLDEST..=NEWEST).contains(&release)) {
        let version = version.clone();
        return Err(SpecError::Version { version });
    }
    let (vendor, class) = spec.kind.split_once('/').unwrap_or_default();
    if !is_vendor(vendor) || !is_name(class, PLAIN) || class.len() > MAX_CLASS_CHARS {
        let kind = spec.kind.clone();
        return Err(SpecError::Kind { kind });
    }
    if spec.devices.is_empty() {
        return Err(SpecError::NoDevices);
    }
    for (index, device) in spec.devices.iter().enumerate() {
        let name = &device.name;
        if !is_name(name, WITH_COLONS) {
            return Err(SpecError::Name { name: name.clone() });
        }
        if spec
            .devices
            .iter()
            .skip(index + 1)
            .any(|other| other.name == *name)
        {
            return Err(SpecError::Twice { name: name.clone() });
        }
    }
    let edits = spec.devices.iter().map(|device| &device.container_edits);
    edits
        .chain([&spec.container_edits])
        .try_for_each(check_nodes)
}

fn check_nodes(edits: &Edits) -> Result<(), SpecError> {
    let relative = edits
        .device_nodes
        .iter()
        .flat_map(|node| [node.path.as_str(), node.on_host()])
        .find(|path| !path.starts_with('/'));
    match relative {
        None => Ok(()),
        Some(path) => Err(SpecError::Path {
            path: path.to_owned(),
        }),
    }
}

/// Major and minor of a version of three numbers, with or without a `v`; a pre-release is none of ours.
fn release(version: &str) -> Option<(u64, u64)> {
    let numbers: Option<Vec<u64>> = version
        .strip_prefix('v')
        .unwrap_or(version)
        .split('.')
        .map(|number| number.parse().ok())
        .collect();
    match numbers?.as_slice() {
        [major, minor, _patch] => Some((*major, *minor)),
        _ => None,
    }
}

/// A DNS subdomain.
fn is_vendor(text: &str) -> bool {
    text.len() <= MAX_VENDOR_CHARS && text.split('.').all(|label| is_name(label, PLAIN))
}

/// Letters and digits; others, but not at the ends.
fn is_name(text: &str, others: &str) -> bool {
    let ends = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    let inner = |letter: char| letter.is_ascii_alphanumeric() || others.contains(letter);
    ends(text.chars().next()) && ends(text.chars().last()) && text.chars().all(inner)
}

#[cfg(test)]
mod tests;
