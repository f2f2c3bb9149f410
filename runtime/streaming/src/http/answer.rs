//! What a request is answered. Main functions: [`upgraded`], [`refused`]. Above: `http`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{
        ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
    },
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Welcome;
use crate::{
    agree::{self, Disagreed, Transport},
    limits,
};

const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub(super) type Answer = Response<Full<Bytes>>;

/// From here on it is another protocol.
pub(super) fn upgraded(welcome: &Welcome, request: &HeaderMap) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let protocol = HeaderValue::from_static(welcome.protocol);
    match welcome.transport {
        Transport::Spdy => {
            headers.insert(UPGRADE, HeaderValue::from_static(agree::SPDY));
            headers.insert(agree::STREAM_PROTOCOL, protocol);
        }
        Transport::WebSocket => {
            headers.insert(UPGRADE, HeaderValue::from_static(agree::WEB_SOCKET));
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
            let key = request.get(SEC_WEBSOCKET_KEY);
            let accept = derive_accept_key(key.map(HeaderValue::as_bytes).unwrap_or_default());
            if let Ok(accept) = HeaderValue::try_from(accept) {
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
        }
    }
    answer
}

/// Why a request is none of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// The same for whatever is not there.
    NotFound,
    Method,
    /// There are as many sessions as may be.
    Full,
    Disagreed(Disagreed),
    /// The protocol has no room for the ports that the URL was made for, or there are none.
    Ports,
}

pub(super) fn refused(refused: Refused) -> Answer {
    let bad = StatusCode::BAD_REQUEST;
    match refused {
        Refused::NotFound => plain(
            StatusCode::NOT_FOUND,
            "there is no such session, or it was used",
        ),
        Refused::Method => {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or POST");
            let methods = HeaderValue::from_static("GET, POST");
            answer.headers_mut().insert(ALLOW, methods);
            answer
        }
        Refused::Full => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "as many sessions as there may be are open: end one, or try again",
        ),
        Refused::Ports => plain(
            bad,
            format!(
                "this protocol forwards the ports that PortForward named, 1 to {} of them",
                limits::PORTS
            ),
        ),
        Refused::Disagreed(Disagreed::NoUpgrade) => plain(
            bad,
            "this is for clients that upgrade to SPDY/3.1 or websocket",
        ),
        Refused::Disagreed(Disagreed::NoneNamed(header)) => {
            plain(bad, format!("the header {header} is missing"))
        }
        Refused::Disagreed(Disagreed::NoKey) => plain(
            bad,
            format!(
                "Sec-WebSocket-Key is missing, or Sec-WebSocket-Version is not {}",
                agree::WEB_SOCKET_VERSION
            ),
        ),
        Refused::Disagreed(Disagreed::NoneInCommon(ours)) => none_in_common(&ours),
    }
}

fn none_in_common(ours: &[&'static str]) -> Answer {
    let mut answer = plain(
        StatusCode::FORBIDDEN,
        "none of the protocols that the client names is spoken here",
    );
    for name in ours {
        let name = HeaderValue::from_static(name);
        answer.headers_mut().append(ACCEPTED, name);
    }
    answer
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, PLAIN);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
