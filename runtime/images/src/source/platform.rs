//! Which manifest of a multi-platform image is ours.
//!
//! Pure: a list of platforms in, an index out. Used by `layout`.

use std::fmt;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            None | Some("") => Ok(()),
            Some(variant) => write!(f, "/{variant}"),
        }
    }
}

impl Platform {
    /// How far a platform is from plain linux/amd64, the lower the better; `None` is not ours.
    ///
    /// `v1` is what every amd64 CPU has and the same as no variant (containerd's platforms package);
    /// where an image has higher ones only, the least demanding is the most likely to run.
    fn distance(&self) -> Option<u8> {
        if self.os != "linux" || self.architecture != "amd64" {
            return None;
        }
        match self.variant.as_deref() {
            None | Some("" | "v1") => Some(0),
            Some("v2") => Some(1),
            Some("v3") => Some(2),
            Some("v4") => Some(3),
            Some(_) => None,
        }
    }
}

/// Chooses among manifests; one without a platform is taken only if no other says that it fits, for
/// its configuration is checked later.
pub(crate) fn choose(platforms: &[Option<Platform>]) -> Option<usize> {
    let distance = |platform: &Option<Platform>| match platform {
        Some(platform) => platform.distance(),
        None => Some(u8::MAX),
    };
    let candidates = platforms.iter().enumerate();
    let candidates = candidates.filter_map(|(index, platform)| Some((distance(platform)?, index)));
    candidates.min().map(|(_, index)| index)
}

/// For the message that nothing fits.
pub(crate) fn describe(platforms: &[Option<Platform>]) -> String {
    let names: Vec<_> = platforms
        .iter()
        .map(|platform| {
            platform
                .as_ref()
                .map_or_else(|| "unknown".to_owned(), Platform::to_string)
        })
        .collect();
    if names.is_empty() {
        "none at all".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;
