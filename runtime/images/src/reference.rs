//! Image names as people write them, made whole as containerd and crictl do.
//!
//! `busybox` is `docker.io/library/busybox:latest`. Main type: [`Reference`]. The grammar is that of
//! the distribution project's reference package: `[host[:port]/]path[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};

const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_FOLDER: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Longest host and path together, as the distribution project has it.
const NAME_BYTES: usize = 255;
const TAG_BYTES: usize = 128;

/// A name did not parse.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("image name is empty; write for example `busybox` or `registry.example/app:1.2`")]
    Empty,
    /// Host and path are longer than 255 bytes.
    #[error("image name `{0}` is longer than {NAME_BYTES} bytes")]
    TooLong(String),
    /// The host has characters that no host has.
    #[error("image name `{name}` has a bad host `{host}`")]
    Host {
        /// The whole name.
        name: String,
        /// Its first part.
        host: String,
    },
    /// A path part that is not `[a-z0-9]+` joined by `.`, `_`, `__` or dashes.
    #[error(
        "image name `{name}` has a bad part `{part}`: lower-case letters and digits, \
         joined by `.`, `_`, `__` or `-`"
    )]
    Part {
        /// The whole name.
        name: String,
        /// The bad part.
        part: String,
    },
    /// The tag is not `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
    #[error("image name `{name}` has a bad tag `{tag}`")]
    Tag {
        /// The whole name.
        name: String,
        /// The bad tag.
        tag: String,
    },
    /// The digest behind `@` is not one.
    #[error("image name `{name}` has a bad digest")]
    Digest {
        /// The whole name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
}

/// A whole image name. Equal names are equal images' names, however they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Registry host with its port: `docker.io`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path in the registry: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `None` only where the name has a digest instead.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The name without its digest; `None` if it has no tag.
    #[must_use]
    pub fn tagged(&self) -> Option<Self> {
        let tagged = Self {
            digest: None,
            ..self.clone()
        };
        self.tag.is_some().then_some(tagged)
    }

    /// `host/path@digest`: what CRI calls a repo digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            host: self.host.clone(),
            path: self.path.clone(),
            tag: None,
            digest: Some(digest),
        }
    }

    /// The digest that the name is pinned to.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(name: &str) -> Result<Self, ReferenceError> {
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match name.split_once('@') {
            None => (name, None),
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest {
                    name: name.to_owned(),
                    source,
                })?;
                (rest, Some(digest))
            }
        };
        let (rest, tag) = split_tag(rest);
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::Tag {
                name: name.to_owned(),
                tag: tag.to_owned(),
            });
        }
        let (host, path) = split_host(rest);
        check_host(name, host)?;
        for part in path.split('/') {
            if !is_part(part) {
                return Err(ReferenceError::Part {
                    name: name.to_owned(),
                    part: part.to_owned(),
                });
            }
        }
        let folder = if host == DEFAULT_HOST && !path.contains('/') {
            DEFAULT_FOLDER
        } else {
            ""
        };
        let path = format!("{folder}{path}");
        if host.len() + 1 + path.len() > NAME_BYTES {
            return Err(ReferenceError::TooLong(name.to_owned()));
        }
        let tag = match (tag, digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self {
            host: host.to_owned(),
            path,
            tag,
            digest,
        })
    }
}

/// A colon behind the last slash starts a tag; one before it starts a port.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
        _ => (rest, None),
    }
}

/// The first part is a host if it could not be a path: it has a dot, a colon or an upper-case
/// letter, or it is `localhost`.
fn split_host(rest: &str) -> (&str, &str) {
    match rest.split_once('/') {
        Some((first, path))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(|letter| letter.is_ascii_uppercase()) =>
        {
            let host = if first == "index.docker.io" {
                DEFAULT_HOST
            } else {
                first
            };
            (host, path)
        }
        _ => (DEFAULT_HOST, rest),
    }
}

fn check_host(name: &str, host: &str) -> Result<(), ReferenceError> {
    let (domain, port) = match host.rsplit_once(':') {
        Some((domain, port)) if !domain.ends_with(':') => (domain, Some(port)),
        _ => (host, None),
    };
    let domain_good = domain.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let port_good = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    if domain_good && port_good {
        Ok(())
    } else {
        Err(ReferenceError::Host {
            name: name.to_owned(),
            host: host.to_owned(),
        })
    }
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_BYTES
        && tag.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_part(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(first), Some(last)) = (part.bytes().next(), part.bytes().last()) else {
        return false;
    };
    let separators = part.split(|letter: char| u8::try_from(letter).is_ok_and(word));
    word(first)
        && word(last)
        && separators.into_iter().all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(name: String) -> Result<Self, ReferenceError> {
        name.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests;
