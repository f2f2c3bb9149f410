//! What a caller knows about itself: credentials in the forms that CRI and docker's configuration have.
//!
//! Main types: [`AuthConfig`] (as it comes) and [`Credential`] (what it amounts to). Neither prints a secret. Used by
//! `session` and `token`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::error::PullError;
use crate::hosts;

/// Credentials for one registry; an empty text is one that is not given. Of several forms the most particular is taken:
/// registry token, identity token, user name with password, `auth`.
#[derive(Clone, Default)]
pub struct AuthConfig {
    /// User name.
    pub username: String,
    /// Password of that user.
    pub password: String,
    /// Base64 of `user:password`.
    pub auth: String,
    /// An OAuth 2 refresh token: exchanged for an access token at the registry's token server.
    pub identity_token: String,
    /// A bearer token, sent as it is.
    pub registry_token: String,
    /// The registry that the rest is for; empty is the one of the image. A credential for another registry is not sent.
    pub server_address: String,
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

/// What is sent to prove who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Nobody,
    Basic { username: String, password: String },
    IdentityToken(String),
    RegistryToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        })
    }
}

impl AuthConfig {
    pub(crate) fn credential(&self) -> Result<Credential, PullError> {
        if !self.registry_token.is_empty() {
            return Ok(Credential::RegistryToken(self.registry_token.clone()));
        }
        if !self.identity_token.is_empty() {
            return Ok(Credential::IdentityToken(self.identity_token.clone()));
        }
        if !self.username.is_empty() {
            return Ok(Credential::Basic {
                username: self.username.clone(),
                password: self.password.clone(),
            });
        }
        if self.auth.is_empty() {
            return Ok(Credential::Nobody);
        }
        decode(&self.auth).ok_or(PullError::Credential)
    }

    /// Whether this is for the server at `host`, which stands in for the registry `registry`.
    pub(crate) fn is_for(&self, registry: &str, host: &str, stands_in: bool) -> bool {
        let named = host_of(&self.server_address);
        if named.is_empty() {
            return stands_in;
        }
        let same = |host: &str| hosts::canonical(named) == hosts::canonical(host);
        same(host) || (stands_in && same(registry))
    }
}

/// `https://index.docker.io/v1/` → `index.docker.io`; docker's configuration has both forms.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn decode(auth: &str) -> Option<Credential> {
    let trimmed = auth.trim();
    let engine = if trimmed.ends_with('=') {
        &STANDARD
    } else {
        &STANDARD_NO_PAD
    };
    let text = String::from_utf8(engine.decode(trimmed).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credential::Basic {
        username: username.to_owned(),
        // Old docker versions padded with NUL.
        password: password.trim_matches('\0').to_owned(),
    })
}

#[cfg(test)]
mod tests;
