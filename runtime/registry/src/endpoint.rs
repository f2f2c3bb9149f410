//! One host for one image: requests with their redirects, the answer to a challenge, what a status means.
//!
//! Main type: [`Endpoint`]. A credential goes to the host that it is for (and the token server that this host names), and
//! is not taken along by a redirect to anywhere else. Above: `session`, `download`. Below: `token`, the HTTP client.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::timeout;

use crate::auth::Credential;
use crate::challenge;
use crate::deadlines::Patience;
use crate::error::{Problem, Said};
use crate::hosts::Server;
use crate::limits;
use crate::token::{self, Asker};

#[derive(Debug)]
pub(crate) struct Endpoint {
    server: Server,
    client: Client,
    patience: Patience,
    /// Path of the image in the registry.
    repository: String,
    credential: Credential,
    /// For messages: what became of the caller's credential.
    said: &'static str,
    /// What the last challenge was answered with. A lock around one value, never over an await.
    authorization: Mutex<Option<HeaderValue>>,
    /// It could not be reached: others come first.
    down: AtomicBool,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// Behind the repository: `manifests/latest`.
    pub(crate) path: &'a str,
    /// Media types, comma between.
    pub(crate) accept: &'a str,
    /// First byte.
    pub(crate) from: u64,
}

/// Whether the caller's credential is for this endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Entitled {
    Yes(Credential),
    /// It is for another registry.
    No,
}

impl Endpoint {
    pub(crate) fn new(
        server: Server,
        client: Client,
        patience: Patience,
        repository: &str,
        entitled: Entitled,
    ) -> Self {
        let (credential, said) = match entitled {
            Entitled::Yes(Credential::Nobody) => (Credential::Nobody, "; no credential was given"),
            Entitled::Yes(credential) => (credential, "; the given credential was refused"),
            Entitled::No => (
                Credential::Nobody,
                "; the given credential is for another registry and was not sent",
            ),
        };
        Self {
            server,
            client,
            patience,
            repository: repository.to_owned(),
            credential,
            said,
            authorization: Mutex::new(None),
            down: AtomicBool::new(false),
        }
    }

    /// Host with its port, for messages.
    pub(crate) fn host(&self) -> String {
        authority(&self.server.base)
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// An answer that has bytes: status 200, or 206 where a later byte was asked for.
    pub(crate) async fn get(&self, wanted: &Wanted<'_>) -> Result<Response, Problem> {
        let result = self.get_authorized(wanted).await;
        let down = matches!(result, Err(Problem::Unreachable(_)));
        self.down.store(down, Ordering::Relaxed);
        let response = result?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            status => {
                let said = said(response, self.patience).await;
                Err(match status {
                    StatusCode::NOT_FOUND => Problem::NotFound(said),
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Problem::Unauthorized {
                        said,
                        credential: self.said,
                    },
                    status => Problem::Status {
                        status: status.as_u16(),
                        said,
                    },
                })
            }
        }
    }

    /// Answers a challenge once: the first, or that of a token which ran out.
    async fn get_authorized(&self, wanted: &Wanted<'_>) -> Result<Response, Problem> {
        let url = self.url(wanted.path)?;
        let known = self.known_authorization()?;
        let response = self.follow(url.clone(), wanted, known.as_ref()).await?;
        let ours = same_origin(response.url(), &self.server.base);
        if response.status() != StatusCode::UNAUTHORIZED || !ours {
            return Ok(response);
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenge::choose(headers.filter_map(|value| value.to_str().ok()));
        let Some(challenge) = challenge else {
            return Ok(response);
        };
        drop(response);
        let asker = Asker {
            client: &self.client,
            patience: self.patience,
            credential: &self.credential,
            said: self.said,
            repository: &self.repository,
            base: &self.server.base,
        };
        let answer = asker.answer(&challenge).await?;
        if let Ok(mut authorization) = self.authorization.lock() {
            *authorization = Some(answer.clone());
        }
        self.follow(url, wanted, Some(&answer)).await
    }

    fn known_authorization(&self) -> Result<Option<HeaderValue>, Problem> {
        if let Ok(authorization) = self.authorization.lock()
            && let Some(value) = authorization.as_ref()
        {
            return Ok(Some(value.clone()));
        }
        match &self.credential {
            Credential::RegistryToken(token) => token::header(&format!("Bearer {token}")).map(Some),
            _ => Ok(None),
        }
    }

    fn url(&self, path: &str) -> Result<Url, Problem> {
        let path = format!("v2/{}/{path}", self.repository);
        let url = self.server.base.join(&path);
        let mut url = url.map_err(|error| Problem::Protocol(error.to_string()))?;
        if let Some(namespace) = &self.server.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// Sends the request on, where it is told to go, without what is not meant for there.
    async fn follow(
        &self,
        mut url: Url,
        wanted: &Wanted<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Problem> {
        for _ in 0..=limits::REDIRECTS {
            let mut request = Request::new(Method::GET, url.clone());
            let headers = request.headers_mut();
            let accept = HeaderValue::from_str(wanted.accept);
            headers.insert(ACCEPT, accept.unwrap_or(HeaderValue::from_static("*/*")));
            if wanted.from > 0 {
                let range = HeaderValue::from_str(&format!("bytes={}-", wanted.from));
                headers.extend(range.ok().map(|range| (RANGE, range)));
            }
            if let Some(authorization) = authorization
                && same_origin(&url, &self.server.base)
            {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            let sent = send(&self.client, request, self.patience).await;
            let response = sent.map_err(|problem| self.elsewhere(&url, problem))?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            url = target(&url, &response)?;
        }
        let limit = limits::REDIRECTS;
        Err(Problem::Protocol(format!(
            "it redirects more than {limit} times"
        )))
    }

    /// Names the host that a redirect led to.
    fn elsewhere(&self, url: &Url, problem: Problem) -> Problem {
        match problem {
            Problem::Unreachable(reason) if !same_origin(url, &self.server.base) => {
                let host = authority(url);
                Problem::Unreachable(format!("redirected to {host}: {reason}"))
            }
            other => other,
        }
    }
}

/// Statuses that say where to ask; 300 and 304 do not (RFC 9110, 15.4).
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn target(from: &Url, response: &Response) -> Result<Url, Problem> {
    let bad = |why: &str| Problem::Protocol(format!("it redirects {why}"));
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let location = location.ok_or_else(|| bad("to nowhere"))?;
    let to = from
        .join(location)
        .map_err(|_error| bad("to what is no address"))?;
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        _ => Err(bad("from https to another protocol, which is not followed")),
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Host, with its port where that is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// One request to the head of its answer.
pub(crate) async fn send(
    client: &Client,
    request: Request,
    patience: Patience,
) -> Result<Response, Problem> {
    match timeout(patience.connect + patience.answer, client.execute(request)).await {
        Ok(sent) => sent.map_err(Problem::unreachable),
        Err(_elapsed) => {
            let seconds = (patience.connect + patience.answer).as_secs_f32();
            Err(Problem::Unreachable(format!("no answer in {seconds} s")))
        }
    }
}

/// The next bytes of an answer; `None` at its end. The text says why there are none.
pub(crate) async fn chunk(
    response: &mut Response,
    patience: Patience,
) -> Result<Option<bytes::Bytes>, String> {
    match timeout(patience.stall, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(crate::error::chain(&error.without_url())),
        Err(_elapsed) => Err(format!(
            "nothing arrived for {} s",
            patience.stall.as_secs_f32()
        )),
    }
}

/// A whole answer that may have so many bytes.
pub(crate) async fn body(
    mut response: Response,
    limit: usize,
    patience: Patience,
) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let size = response.content_length();
    loop {
        let cut = |reason| Problem::Cut {
            got: bytes.len() as u64,
            size: size.unwrap_or(0),
            reason,
        };
        let Some(chunk) = chunk(&mut response, patience).await.map_err(cut)? else {
            return Ok(bytes);
        };
        if bytes.len() + chunk.len() > limit {
            return Err(Problem::Content(format!(
                "its answer has more than {limit} bytes, which is refused"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// The error documents of the distribution spec.
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a refusal says to people.
pub(crate) async fn said(response: Response, patience: Patience) -> Said {
    let Ok(bytes) = body(response, limits::REFUSAL_BYTES, patience).await else {
        return Said::default();
    };
    let Ok(refusal) = serde_json::from_slice::<Refusal>(&bytes) else {
        return Said::default();
    };
    let reasons = refusal.errors.iter();
    let reasons = reasons.map(|reason| format!("{} {}", reason.code, reason.message));
    let text: String = reasons.collect::<Vec<_>>().join(", ");
    let text = text.trim().chars().take(limits::REFUSAL_CHARS);
    Said(text.flat_map(char::escape_debug).collect())
}
