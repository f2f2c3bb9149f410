//! All hosts of one image, asked in order until one gives what is wanted.
//!
//! Main type: [`Session`]. Used by `resolve` for documents and by `download` for layers. Below: `endpoint`.

use images::{Digest, Promise, Reference};
use reqwest::header::CONTENT_TYPE;

use crate::auth::{AuthConfig, Credential};
use crate::client::Clients;
use crate::deadlines::Patience;
use crate::endpoint::{self, Endpoint, Entitled, Wanted};
use crate::error::{Attempt, Problem, PullError};
use crate::hosts::Hosts;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: Reference,
    pub(crate) patience: Patience,
    endpoints: Vec<Endpoint>,
}

/// A manifest, an index or a configuration, with what it really is.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// Which document.
#[derive(Clone, Debug)]
pub(crate) struct DocumentWanted<'a> {
    /// For messages: `the manifest of docker.io/library/busybox:latest`.
    pub(crate) what: &'a str,
    /// Behind the repository.
    pub(crate) path: &'a str,
    pub(crate) accept: &'a str,
    /// What it must hash to, where that is known.
    pub(crate) digest: Option<Digest>,
    /// How large it must be, where that is known.
    pub(crate) size: Option<u64>,
    pub(crate) limit: u64,
}

impl<'a> DocumentWanted<'a> {
    pub(crate) fn promised(self, promise: Promise) -> DocumentWanted<'a> {
        Self {
            digest: Some(promise.digest),
            size: Some(promise.size),
            ..self
        }
    }
}

impl Session {
    pub(crate) fn new(
        name: &Reference,
        auth: &AuthConfig,
        hosts: &Hosts,
        clients: &Clients,
        patience: Patience,
    ) -> Result<Self, PullError> {
        let credential = auth.credential()?;
        let servers = hosts.servers(name).map_err(PullError::Hosts)?;
        let endpoints = servers.into_iter().map(|server| {
            let client = clients.client(&server);
            let host = endpoint::authority(&server.base);
            let entitled = if credential == Credential::Nobody
                || auth.is_for(name.host(), &host, server.send_credentials)
            {
                Entitled::Yes(credential.clone())
            } else {
                let meant_for = &auth.server_address;
                tracing::warn!(image = %name, %host, %meant_for, "the credential is not sent to this host");
                Entitled::No
            };
            Endpoint::new(server, client, patience, name.path(), entitled)
        });
        Ok(Self {
            name: name.clone(),
            patience,
            endpoints: endpoints.collect(),
        })
    }

    /// In order, but for those that could not be reached when they were last asked.
    pub(crate) fn endpoints(&self) -> Vec<&Endpoint> {
        let mut endpoints: Vec<_> = self.endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| endpoint.is_down());
        endpoints
    }

    /// The first host's document that is as it should be.
    pub(crate) async fn document(&self, wanted: &DocumentWanted<'_>) -> Result<Fetched, PullError> {
        let mut attempts = Vec::new();
        for endpoint in self.endpoints() {
            match self.fetch(endpoint, wanted).await {
                Ok(fetched) => return Ok(fetched),
                Err(problem) => {
                    let host = endpoint.host();
                    tracing::debug!(what = wanted.what, %host, %problem, "no document");
                    attempts.push(Attempt { host, problem });
                }
            }
        }
        Err(self.failure(wanted.what.to_owned(), attempts))
    }

    /// Told in the order of the configuration, whatever the order of asking was: the registry itself is the last.
    pub(crate) fn failure(&self, what: String, mut attempts: Vec<Attempt>) -> PullError {
        let place = |attempt: &Attempt| {
            let mut endpoints = self.endpoints.iter();
            endpoints.position(|endpoint| endpoint.host() == attempt.host)
        };
        attempts.sort_by_key(place);
        PullError::Fetch { what, attempts }
    }

    async fn fetch(
        &self,
        endpoint: &Endpoint,
        wanted: &DocumentWanted<'_>,
    ) -> Result<Fetched, Problem> {
        let limit = wanted.size.unwrap_or(wanted.limit);
        if limit > wanted.limit {
            let allowed = wanted.limit;
            return Err(Problem::Content(format!(
                "it has {limit} bytes; more than {allowed} are refused"
            )));
        }
        let request = Wanted {
            path: wanted.path,
            accept: wanted.accept,
            from: 0,
        };
        let response = endpoint.get(&request).await?;
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        // Parameters as `; charset=utf-8` say nothing about the kind.
        let media_type = media_type.and_then(|value| value.split(';').next());
        let media_type = media_type.unwrap_or_default().trim().to_owned();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let bytes = endpoint::body(response, limit, self.patience).await?;
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        match (wanted.digest, wanted.size) {
            (_, Some(expected)) if expected != size => Err(Problem::Content(format!(
                "it has {size} bytes, but {expected} were promised"
            ))),
            (Some(expected), _) if expected != digest => Err(Problem::Content(format!(
                "it has digest {digest}, but {expected} was promised"
            ))),
            _ => Ok(Fetched {
                digest,
                media_type,
                bytes,
            }),
        }
    }
}
