//! Which protocol a client and this server have in common, by the headers of its request. Main functions: [`command`], [`forward`]. Above:
//! `http`, which answers. Below: nothing; pure.

use hyper::header::{
    AsHeaderName, CONNECTION, HeaderMap, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};

use crate::{remote_command::Report, web_socket::Encoding};

#[cfg(test)]
mod tests;

/// How SPDY's clients tell what they speak on it, one or several a header.
pub(crate) const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
pub(crate) const SPDY: &str = "SPDY/3.1";
pub(crate) const WEB_SOCKET: &str = "websocket";
/// RFC 6455, 4.2.1; there is no other.
pub(crate) const WEB_SOCKET_VERSION: &str = "13";

/// What carries a session's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Spdy,
    WebSocket,
}

/// A version of the protocol of exec and attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// `channel.k8s.io`.
    V1,
    V2,
    /// Has sizes of a terminal.
    V3,
    /// Tells an exit code.
    V4,
    /// Tells the end of input on a WebSocket.
    V5,
}

/// What is spoken about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandProtocol {
    Spdy(Version),
    WebSocket(Version, Encoding),
}

/// What is spoken about ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardProtocol {
    Spdy,
    WebSocket(Encoding),
    /// SPDY in a WebSocket.
    Tunnel,
}

/// A protocol, and its name for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed<P> {
    pub(crate) protocol: P,
    pub(crate) transport: Transport,
    pub(crate) name: &'static str,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disagreed {
    /// It is a plain request.
    NoUpgrade,
    /// The client does not say what it speaks; the header in which it would.
    NoneNamed(&'static str),
    /// What RFC 6455 asks of a client is missing.
    NoKey,
    /// The client speaks none of these.
    NoneInCommon(Vec<&'static str>),
}

type Names<P> = &'static [(&'static str, P)];

/// Newest first, as servers made of Kubernetes' package list them. Version 5 is 4 on SPDY, and such servers do not offer it there.
const SPDY_COMMAND: Names<CommandProtocol> = &[
    ("v4.channel.k8s.io", CommandProtocol::Spdy(Version::V4)),
    ("v3.channel.k8s.io", CommandProtocol::Spdy(Version::V3)),
    ("v2.channel.k8s.io", CommandProtocol::Spdy(Version::V2)),
    ("channel.k8s.io", CommandProtocol::Spdy(Version::V1)),
];
const SPDY_FORWARD: Names<ForwardProtocol> = &[("portforward.k8s.io", ForwardProtocol::Spdy)];

const BINARY: Encoding = Encoding::Binary;
const BASE64: Encoding = Encoding::Base64;
const SOCKET_COMMAND: Names<CommandProtocol> = &[
    (
        "v5.channel.k8s.io",
        CommandProtocol::WebSocket(Version::V5, BINARY),
    ),
    (
        "v4.channel.k8s.io",
        CommandProtocol::WebSocket(Version::V4, BINARY),
    ),
    (
        "v4.base64.channel.k8s.io",
        CommandProtocol::WebSocket(Version::V4, BASE64),
    ),
    (
        "channel.k8s.io",
        CommandProtocol::WebSocket(Version::V1, BINARY),
    ),
    (
        "base64.channel.k8s.io",
        CommandProtocol::WebSocket(Version::V1, BASE64),
    ),
];
const SOCKET_FORWARD: Names<ForwardProtocol> = &[
    ("SPDY/3.1+portforward.k8s.io", ForwardProtocol::Tunnel),
    ("v4.channel.k8s.io", ForwardProtocol::WebSocket(BINARY)),
    (
        "v4.base64.channel.k8s.io",
        ForwardProtocol::WebSocket(BASE64),
    ),
];

impl Version {
    pub(crate) fn report(self) -> Report {
        match self {
            Self::V1 | Self::V2 | Self::V3 => Report::Text,
            Self::V4 | Self::V5 => Report::Status,
        }
    }

    pub(crate) fn has_resize(self) -> bool {
        self >= Self::V3
    }
}

/// How an exec or an attach is spoken about.
pub(crate) fn command(headers: &HeaderMap) -> Result<Agreed<CommandProtocol>, Disagreed> {
    agree(headers, SPDY_COMMAND, SOCKET_COMMAND)
}

/// How a port-forward is spoken about.
pub(crate) fn forward(headers: &HeaderMap) -> Result<Agreed<ForwardProtocol>, Disagreed> {
    agree(headers, SPDY_FORWARD, SOCKET_FORWARD)
}

/// The first that the client names and we speak.
fn agree<P: Copy>(
    headers: &HeaderMap,
    on_spdy: Names<P>,
    on_web_socket: Names<P>,
) -> Result<Agreed<P>, Disagreed> {
    let transport = transport(headers)?;
    let (ours, header) = match transport {
        Transport::Spdy => (on_spdy, STREAM_PROTOCOL),
        Transport::WebSocket => (on_web_socket, SEC_WEBSOCKET_PROTOCOL.as_str()),
    };
    let mut named = named(headers, header).peekable();
    if named.peek().is_none() {
        let header = match transport {
            Transport::Spdy => "X-Stream-Protocol-Version",
            Transport::WebSocket => "Sec-WebSocket-Protocol",
        };
        return Err(Disagreed::NoneNamed(header));
    }
    let spoken = named.find_map(|name| ours.iter().find(|(ours, _)| *ours == name));
    let unspoken = || Disagreed::NoneInCommon(ours.iter().map(|(name, _)| *name).collect());
    let (name, protocol) = *spoken.ok_or_else(unspoken)?;
    Ok(Agreed {
        protocol,
        transport,
        name,
    })
}

fn transport(headers: &HeaderMap) -> Result<Transport, Disagreed> {
    if !holds(headers, CONNECTION, "upgrade") {
        return Err(Disagreed::NoUpgrade);
    }
    if holds(headers, UPGRADE, SPDY) {
        return Ok(Transport::Spdy);
    }
    if !holds(headers, UPGRADE, WEB_SOCKET) {
        return Err(Disagreed::NoUpgrade);
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    let right_version = version.is_some_and(|version| version == WEB_SOCKET_VERSION);
    match headers.contains_key(SEC_WEBSOCKET_KEY) && right_version {
        true => Ok(Transport::WebSocket),
        false => Err(Disagreed::NoKey),
    }
}

/// The names in a header, however they are spread over its lines.
fn named(headers: &HeaderMap, header: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header).into_iter();
    let names = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    names.map(str::trim).filter(|name| !name.is_empty())
}

/// Whether a header has a text in it, in upper or lower case.
fn holds(headers: &HeaderMap, header: impl AsHeaderName, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut lines = headers.get_all(header).into_iter();
    lines.any(|line| {
        let line = line.as_bytes().to_ascii_lowercase();
        line.windows(text.len()).any(|part| part == text.as_bytes())
    })
}
