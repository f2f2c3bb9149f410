//! How a server is set up, and why it can't be. Main type: [`Settings`].

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use thiserror::Error;

use crate::tls::TlsError;

/// How a server is set up. The default listens on a free port of 127.0.0.1, without TLS.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 is any free one. Clients need no right but a URL's token, so this is a loopback address unless the
    /// operator says otherwise.
    pub listen: SocketAddr,
    /// What URLs start with, where clients reach the server by another name than it listens at: `https://node:10010`. `None` makes it of
    /// the address, which then may not be `0.0.0.0` or `[::]`.
    pub base_url: Option<String>,
    /// A certificate makes it https.
    pub tls: Option<Tls>,
    /// Tokens that are given out and not used yet; more are refused with [`TooMany`].
    pub most_tokens: usize,
    /// Connections whose request has not been answered yet; others wait until they are accepted.
    pub most_requests: usize,
    /// Sessions at a time; a client beyond them is told 503.
    pub most_sessions: usize,
    /// Stretches every wait, for slow machines; 1 otherwise.
    pub deadline_scale: u32,
}

/// Files in PEM form, read once at the start.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, then those between it and the authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address.
    #[error("listen at {address} for streams")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No client can reach 0.0.0.0.
    #[error(
        "listen at {0} for streams: URLs need a base URL of their own (http://NODE:PORT) where the address is that of all interfaces"
    )]
    NoAddress(SocketAddr),
    /// Not `http://…` or `https://…`.
    #[error("the base URL {0:?} of streams is not http://HOST:PORT or https://HOST:PORT")]
    BaseUrl(String),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// No token can be given: as many as may be are waiting for their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{most} streaming URLs are waiting for their clients already, try again in a minute")]
pub struct TooMany {
    /// How many are waiting.
    pub most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            base_url: None,
            tls: None,
            most_tokens: 1000,
            most_requests: 256,
            most_sessions: 1000,
            deadline_scale: 1,
        }
    }
}
