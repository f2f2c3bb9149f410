//! Gets what goes into an `Authorization` header: a token from a token server, or a name with its password.
//!
//! Protocol: the distribution project's token and OAuth 2 authentication. Used by `endpoint`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use serde::Deserialize;

use crate::auth::Credential;
use crate::challenge::{Bearer, Challenge};
use crate::deadlines::Patience;
use crate::endpoint;
use crate::error::{Problem, Said};
use crate::limits;

/// Who asks a token server, and how.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) client: &'a Client,
    pub(crate) patience: Patience,
    pub(crate) credential: &'a Credential,
    /// For messages: what becomes of the credential.
    pub(crate) said: &'static str,
    pub(crate) repository: &'a str,
    /// The server that sent the challenge.
    pub(crate) base: &'a Url,
}

/// A token server's answer. Docker's name for the token is `token`, OAuth 2's is `access_token`.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Asker<'_> {
    /// The value of the header that answers a challenge.
    pub(crate) async fn answer(&self, challenge: &Challenge) -> Result<HeaderValue, Problem> {
        match (challenge, self.credential) {
            (Challenge::Bearer(_), Credential::RegistryToken(_)) => Err(self.refused()),
            (Challenge::Bearer(bearer), _) => {
                let token = self.token(bearer).await?;
                header(&format!("Bearer {token}"))
            }
            (Challenge::Basic, Credential::Basic { username, password }) => {
                basic(username, password)
            }
            (Challenge::Basic, _) => Err(self.refused()),
        }
    }

    fn refused(&self) -> Problem {
        Problem::Unauthorized {
            said: Said::default(),
            credential: self.said,
        }
    }

    async fn token(&self, bearer: &Bearer) -> Result<String, Problem> {
        let request = self.request(bearer)?;
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let at = |problem: Problem| match problem {
            Problem::Unreachable(reason) => {
                Problem::Unreachable(format!("its token server {host}: {reason}"))
            }
            other => other,
        };
        let sent = endpoint::send(self.client, request, self.patience).await;
        let response = sent.map_err(at)?;
        let status = response.status();
        if !status.is_success() {
            let said = endpoint::said(response, self.patience).await;
            return Err(match status.as_u16() {
                // What token servers answer to a wrong password, a token that ran out, or a scope that is not granted.
                400 | 401 | 403 => Problem::Unauthorized {
                    said,
                    credential: self.said,
                },
                status => Problem::Status { status, said },
            });
        }
        let bytes = endpoint::body(response, limits::TOKEN_BYTES, self.patience).await;
        let answer: Answer = serde_json::from_slice(&bytes?)
            // The error's text could quote the token.
            .map_err(|_error| {
                Problem::Protocol(format!(
                    "the answer of its token server {host} has no token"
                ))
            })?;
        let found = [answer.token, answer.access_token];
        let token = found.into_iter().find(|token| !token.is_empty());
        token.ok_or_else(|| {
            Problem::Protocol(format!(
                "the answer of its token server {host} has no token"
            ))
        })
    }

    fn request(&self, bearer: &Bearer) -> Result<Request, Problem> {
        let bad = |why: &str| Problem::Protocol(format!("its token server is unusable: {why}"));
        let mut url = Url::parse(&bearer.realm).map_err(|error| bad(&error.to_string()))?;
        match (self.base.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => {}
            _ => return Err(bad("a password would leave by plain http")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("there are credentials in its address"));
        }
        let default_scope = format!("repository:{}:pull", self.repository);
        let scope = bearer.scope.as_deref().unwrap_or(&default_scope);
        let service = bearer.service.as_deref();
        if let Credential::IdentityToken(token) = self.credential {
            let mut form = self.base.clone();
            form.query_pairs_mut()
                .clear()
                .append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "cofferdam")
                .append_pair("scope", scope)
                .append_pair("service", service.unwrap_or_default())
                .append_pair("refresh_token", token);
            let mut request = Request::new(Method::POST, url);
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(form.query().unwrap_or_default().to_owned().into());
            return Ok(request);
        }
        url.query_pairs_mut().append_pair("scope", scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let mut request = Request::new(Method::GET, url);
        if let Credential::Basic { username, password } = self.credential {
            let value = basic(username, password)?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// RFC 7617.
fn basic(username: &str, password: &str) -> Result<HeaderValue, Problem> {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    header(&format!("Basic {encoded}"))
}

/// A value that no log shows.
pub(crate) fn header(text: &str) -> Result<HeaderValue, Problem> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_error| {
        Problem::Protocol("the token has characters that no header may have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}
