//! What CRI asked for, as it is kept with a pod and its containers, so that a restarted daemon answers as the one before it. Main types:
//! [`Sandbox`], [`Created`]. The messages are kept as protobuf: fields that this version does not know survive an older daemon's restart
//! only as far as its messages have them, and what is added later reads as missing.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use cri::v1::{ContainerConfig, PodSandboxConfig, PodSandboxMetadata};
use model::HugePages;
use pod::Note;
use prost::Message;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::translate::PodKind;

const VERSION: u32 = 1;

/// A note that can't be read.
#[derive(Debug, Error)]
pub(crate) enum NoteError {
    /// Its form.
    #[error("read the note")]
    Form(#[from] serde_json::Error),
    /// Another daemon's.
    #[error("the note has version {0}, and this daemon reads {VERSION}")]
    Version(u32),
    /// The text of a message.
    #[error("decode the note's message from base64")]
    Text(#[from] base64::DecodeError),
    /// The message.
    #[error("decode the note's message")]
    Message(#[from] prost::DecodeError),
    /// What is needed to name it.
    #[error("the note's message has no metadata")]
    Nameless,
}

/// What makes a sandbox the same as another: kubelet's name for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SandboxName {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) attempt: u32,
}

/// A sandbox as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sandbox {
    pub(crate) config: PodSandboxConfig,
    pub(crate) handler: String,
    /// The primary one first; none without a network, or with the node's.
    pub(crate) ips: Vec<IpAddr>,
    /// What was decided when it was run, whatever the configuration says now.
    pub(crate) kind: PodKind,
    /// What its VM has set aside.
    pub(crate) huge_pages: Vec<HugePages>,
}

/// A container as it was asked for, and what was decided for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Created {
    pub(crate) config: ContainerConfig,
    pub(crate) image: ImageNames,
    /// Linux's number of the signal that asks it to end.
    pub(crate) stop_signal: u32,
}

/// An image as it was called when a container was made from it; its names may change later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageNames {
    /// Digest of its configuration.
    pub(crate) id: String,
    /// A name with a tag if it has one.
    pub(crate) name: String,
    /// A name with a digest if it has one.
    pub(crate) reference: String,
}

#[derive(Serialize, Deserialize)]
struct SandboxNote {
    version: u32,
    config: String,
    handler: String,
    ips: Vec<IpAddr>,
    #[serde(default)]
    kind: PodKind,
    #[serde(default)]
    huge_pages: Vec<HugePages>,
}

#[derive(Serialize, Deserialize)]
struct CreatedNote {
    version: u32,
    config: String,
    image: ImageNames,
    stop_signal: u32,
}

impl SandboxName {
    pub(crate) fn of(metadata: &PodSandboxMetadata) -> Self {
        Self {
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            namespace: metadata.namespace.clone(),
            attempt: metadata.attempt,
        }
    }
}

impl std::fmt::Display for SandboxName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            uid,
            namespace,
            attempt,
        } = self;
        write!(out, "{namespace}/{name} (uid {uid}, attempt {attempt})")
    }
}

impl Sandbox {
    pub(crate) fn name(&self) -> SandboxName {
        SandboxName::of(&self.config.metadata.clone().unwrap_or_default())
    }

    pub(crate) fn to_note(&self) -> Result<Note, NoteError> {
        Ok(serde_json::to_value(SandboxNote {
            version: VERSION,
            config: STANDARD.encode(self.config.encode_to_vec()),
            handler: self.handler.clone(),
            ips: self.ips.clone(),
            kind: self.kind,
            huge_pages: self.huge_pages.clone(),
        })?)
    }

    pub(crate) fn from_note(note: &Note) -> Result<Self, NoteError> {
        let note = SandboxNote::deserialize(note)?;
        check_version(note.version)?;
        let bytes = STANDARD.decode(note.config)?;
        let config = PodSandboxConfig::decode(bytes.as_slice())?;
        if config.metadata.is_none() {
            return Err(NoteError::Nameless);
        }
        Ok(Self {
            config,
            handler: note.handler,
            ips: note.ips,
            kind: note.kind,
            huge_pages: note.huge_pages,
        })
    }
}

impl Created {
    /// Its name and attempt within its sandbox.
    pub(crate) fn name(&self) -> (String, u32) {
        let metadata = self.config.metadata.clone().unwrap_or_default();
        (metadata.name, metadata.attempt)
    }

    pub(crate) fn to_note(&self) -> Result<Note, NoteError> {
        Ok(serde_json::to_value(CreatedNote {
            version: VERSION,
            config: STANDARD.encode(self.config.encode_to_vec()),
            image: self.image.clone(),
            stop_signal: self.stop_signal,
        })?)
    }

    pub(crate) fn from_note(note: &Note) -> Result<Self, NoteError> {
        let note = CreatedNote::deserialize(note)?;
        check_version(note.version)?;
        let bytes = STANDARD.decode(note.config)?;
        let config = ContainerConfig::decode(bytes.as_slice())?;
        if config.metadata.is_none() {
            return Err(NoteError::Nameless);
        }
        Ok(Self {
            config,
            image: note.image,
            stop_signal: note.stop_signal,
        })
    }
}

fn check_version(version: u32) -> Result<(), NoteError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(NoteError::Version(version))
    }
}

#[cfg(test)]
mod tests;
