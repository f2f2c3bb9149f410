//! Ids as types of their own, checked once at the door: they become file names, host names and cgroup names. Main types:
//! [`PodId`], [`ContainerId`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest id, in bytes: a host name's label (RFC 1123) is that long.
const MAX_BYTES: usize = 63;

/// A string that can't be an id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "\"{}\" can't be an id: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
    text.escape_default()
)]
pub struct BadId {
    text: String,
}

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                if is_label(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadId {
                        text: text.to_owned(),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

id!(PodId, "Names one pod on this host.");
id!(ContainerId, "Names one container within its pod's guest.");
id!(VolumeId, "Names one volume within its pod's guest.");

fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_BYTES
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests;
