//! Versions of the CNI specification that are spoken here. Main type: [`CniVersion`]. The highest that a configuration allows is
//! used for all its plugins; what came with which version decides what may be asked of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One version, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum CniVersion {
    /// The first with lists of plugins.
    V0_3_0,
    /// The same, with corrections.
    V0_3_1,
    /// The first with CHECK, and with the result in DEL.
    V0_4_0,
    /// The first without an IP version in results.
    V1_0_0,
    /// The first with GC and STATUS.
    V1_1_0,
}

/// A version that isn't spoken here.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("CNI version \"{}\" is not supported: use one from 0.3.0 to 1.1.0", text.escape_debug())]
pub struct BadVersion {
    text: String,
}

impl CniVersion {
    const ALL: [Self; 5] = [
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// As it stands in configurations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl FromStr for CniVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let mut all = Self::ALL.into_iter();
        all.find(|version| version.as_str() == text)
            .ok_or_else(|| BadVersion {
                text: text.to_owned(),
            })
    }
}

impl TryFrom<String> for CniVersion {
    type Error = BadVersion;

    fn try_from(text: String) -> Result<Self, BadVersion> {
        text.parse()
    }
}

impl From<CniVersion> for &'static str {
    fn from(version: CniVersion) -> Self {
        version.as_str()
    }
}

impl fmt::Display for CniVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
