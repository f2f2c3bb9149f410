//! Listens, and owns every connection. Main type: [`Server`]. Above: the CRI door. Below: `http`, then `session`.
//!
//! One task accepts and owns the tasks of all connections, so that nothing is left when it ends:
//!
//! ```text
//! accepted ─► (TLS) ─► request ─► session ─► gone
//!    └───── holds one of `most_requests` ──┘└─ holds one of `most_sessions`
//! ```

use std::{fmt, io, net::SocketAddr, sync::Arc};

use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    backend::{Backend, Session},
    deadlines::{Deadlines, KEEPALIVE_COUNT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL},
    hangup::Hangup,
    http::{self, Door},
    session,
    settings::{BindError, Settings, TooMany},
    tls,
    token::Tokens,
};

/// A streaming server. It ends, with every session, when it is shut down or its last handle is dropped.
#[derive(Clone)]
pub struct Server {
    tokens: Arc<Tokens>,
    base_url: Arc<str>,
    address: SocketAddr,
    end: watch::Sender<()>,
}

impl Server {
    /// Listens, and serves what [`Self::open`] gives URLs for. Needs tokio's runtime, in which it goes on.
    ///
    /// # Errors
    ///
    /// The settings can't be, or the address can't be listened at.
    pub async fn bind(settings: Settings, backend: impl Backend) -> Result<Self, BindError> {
        let acceptor = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let wanted = settings.listen;
        let not_bound = |source| BindError::Listen {
            address: wanted,
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(not_bound)?;
        let address = listener.local_addr().map_err(not_bound)?;
        let base_url = base_url(&settings, address)?;
        let deadlines = Deadlines::scaled(settings.deadline_scale);
        let tokens = Arc::new(Tokens::new(settings.most_tokens, deadlines.token));
        let door = Door {
            tokens: Arc::clone(&tokens),
            sessions: Arc::new(Semaphore::new(settings.most_sessions)),
            deadlines,
        };
        let accepting = Accepting {
            listener,
            requests: Arc::new(Semaphore::new(settings.most_requests)),
            service: Arc::new(Service {
                door,
                acceptor,
                backend,
            }),
        };
        let (end, ended) = watch::channel(());
        tokio::spawn(accepting.run(ended));
        Ok(Self {
            tokens,
            base_url,
            address,
            end,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL for one client to come to, once, within a minute.
    ///
    /// # Errors
    ///
    /// As many as may be are waiting for their clients.
    pub fn open(&self, session: Session) -> Result<String, TooMany> {
        let (base, kind) = (&self.base_url, http::kind_in_path(&session));
        let token = self.tokens.give(session)?;
        Ok(format!("{base}/{kind}/{token}"))
    }

    /// Ends every session and stops listening; returns when both are done.
    pub async fn shutdown(&self) {
        self.end.send_replace(());
        self.end.closed().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What URLs start with.
fn base_url(settings: &Settings, address: SocketAddr) -> Result<Arc<str>, BindError> {
    let Some(base) = &settings.base_url else {
        if address.ip().is_unspecified() {
            return Err(BindError::NoAddress(address));
        }
        let scheme = if settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        return Ok(format!("{scheme}://{address}").into());
    };
    let host = base
        .strip_prefix("http://")
        .or_else(|| base.strip_prefix("https://"));
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
            Ok(base.trim_end_matches('/').into())
        }
        _ => Err(BindError::BaseUrl(base.clone())),
    }
}

/// What every connection needs.
struct Service<B> {
    door: Door,
    acceptor: Option<TlsAcceptor>,
    backend: B,
}

/// The task that owns the listener and all connections.
struct Accepting<B> {
    listener: TcpListener,
    requests: Arc<Semaphore>,
    service: Arc<Service<B>>,
}

impl<B: Backend> Accepting<B> {
    async fn run(self, mut ended: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _asked_or_dropped = ended.changed() => break,
                Some(_ended) = connections.join_next() => {}
                Some((stream, place)) = self.next() => {
                    connections.spawn(Arc::clone(&self.service).serve(stream, place));
                }
                else => break,
            }
        }
        drop(self);
        connections.shutdown().await;
        // Whoever shut us down waits for this.
        drop(ended);
    }

    /// The next connection, when there is room for it.
    async fn next(&self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        loop {
            match self.listener.accept().await {
                Ok((stream, _peer)) => return Some((stream, place)),
                Err(error) => tracing::warn!(%error, "a streaming connection was not taken"),
            }
            // As when there are no descriptors left: it may be better after a moment.
            sleep(self.service.door.deadlines.accept_again).await;
        }
    }
}

impl<B: Backend> Service<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, place: OwnedSemaphorePermit) {
        let deadlines = &self.door.deadlines;
        let hangup = match prepare(&stream, deadlines) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::warn!(%error, "a streaming connection can't be prepared");
                return;
            }
        };
        let Some(acceptor) = &self.acceptor else {
            let arrival = self.door.receive(stream, hangup).await;
            drop(place);
            if let Some(arrival) = arrival {
                session::serve(arrival, &self.backend, deadlines).await;
            }
            return;
        };
        let arrival = match timeout(deadlines.request, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.door.receive(stream, hangup).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a streaming connection failed at TLS");
                None
            }
            Err(_elapsed) => None,
        };
        drop(place);
        if let Some(arrival) = arrival {
            session::serve(arrival, &self.backend, deadlines).await;
        }
    }
}

/// Keys go out at once, and a client whose machine is gone is noticed.
fn prepare(stream: &TcpStream, deadlines: &Deadlines) -> io::Result<Hangup> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Hangup::of(stream, deadlines.stuck)
}
