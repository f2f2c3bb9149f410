//! An image of the store as callers see it.
//!
//! Main type: [`Image`]. Made from a record; used by commands, by `registry` and by whoever answers CRI.

use oci_spec::image::ImageConfiguration;

use crate::digest::Digest;
use crate::reference::Reference;

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the image configuration, which is how docker and CRI name an image.
    pub id: Digest,
    /// Every name with a tag that points here, sorted.
    pub names: Vec<Reference>,
    /// Every `name@digest` that it was pulled by, sorted; the digest is that of the index where the registry has one.
    pub digests: Vec<Reference>,
    /// Digest of the image manifest; of the configuration where the archive had no manifest.
    pub digest: Digest,
    /// Bytes of the device; layers shared with other images count in each.
    pub size: u64,
    /// Garbage collectors leave it alone.
    pub pinned: bool,
    /// When the image was built, RFC 3339, as its maker says.
    pub created: Option<String>,
    /// Env, Cmd, Entrypoint, WorkingDir, User, StopSignal and the rest.
    pub config: ImageConfiguration,
}

/// Whom an image's processes run as, as far as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageUser {
    /// A number; root where the configuration names nobody.
    Uid(u32),
    /// A name of the image's own `/etc/passwd`.
    Name(String),
}

impl Image {
    /// The user part of `USER[:GROUP]`.
    #[must_use]
    pub fn user(&self) -> ImageUser {
        let config = self.config.config().as_ref();
        let user = config.and_then(|config| config.user().as_deref());
        parse_user(user.unwrap_or_default())
    }
}

fn parse_user(text: &str) -> ImageUser {
    let user = text.split(':').next().unwrap_or_default();
    if user.is_empty() {
        return ImageUser::Uid(0);
    }
    let number = user.bytes().all(|byte| byte.is_ascii_digit());
    match user.parse() {
        Ok(uid) if number => ImageUser::Uid(uid),
        _ => ImageUser::Name(user.to_owned()),
    }
}

#[cfg(test)]
mod tests;
