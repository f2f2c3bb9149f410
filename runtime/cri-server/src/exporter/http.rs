//! The page, over HTTP/1.1. Main type: [`Exporter`]. Whoever connects has a few seconds for one request; connections above a number wait.

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Listen, scrape};
use crate::{
    limits,
    node::Node,
    socket::{Socket, SocketError},
};

const PAGE: &str = "/metrics";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Why the figures can't be asked for.
#[derive(Debug, Error)]
pub enum ListenError {
    /// A TCP port.
    #[error("listen at {address} for metrics (metrics.listen in the configuration)")]
    Tcp {
        /// The address.
        address: std::net::SocketAddr,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A unix socket.
    #[error("listen at {} for metrics (metrics.listen in the configuration)", path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SocketError,
    },
}

/// Listens.
#[derive(Debug)]
pub(crate) enum Exporter {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// The socket's file goes with it.
        _socket: Socket,
    },
}

impl Exporter {
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, ListenError> {
        match listen {
            Listen::Tcp(address) => {
                let bound = TcpListener::bind(address).await;
                let address = *address;
                bound
                    .map(Self::Tcp)
                    .map_err(|source| ListenError::Tcp { address, source })
            }
            Listen::Unix(path) => match Socket::bind(path) {
                Ok((_socket, listener)) => Ok(Self::Unix { listener, _socket }),
                Err(source) => {
                    let path = path.clone();
                    Err(ListenError::Unix { path, source })
                }
            },
        }
    }

    /// Answers for ever.
    pub(crate) async fn serve(self, node: Arc<Node>) {
        let room = Arc::new(Semaphore::new(limits::SCRAPERS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let node = Arc::clone(&node);
            let failed = match &self {
                Self::Tcp(listener) => match listener.accept().await {
                    Ok((stream, _peer)) => {
                        tokio::spawn(answer_one(node, stream, place));
                        continue;
                    }
                    Err(error) => error,
                },
                Self::Unix { listener, .. } => match listener.accept().await {
                    Ok((stream, _peer)) => {
                        tokio::spawn(answer_one(node, stream, place));
                        continue;
                    }
                    Err(error) => error,
                },
            };
            // As when there are no descriptors left: it may be better after a moment.
            tracing::warn!(error = %failed, "a connection for metrics was not taken");
            tokio::time::sleep(node.deadlines.scraper).await;
        }
    }
}

/// One request, or none in time.
async fn answer_one(
    node: Arc<Node>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: OwnedSemaphorePermit,
) {
    let patience: Duration = node.deadlines.scraper;
    let service = service_fn(move |request| {
        let node = Arc::clone(&node);
        async move { Ok::<_, Infallible>(answer(&node, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(limits::SCRAPE_REQUEST_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(patience.saturating_mul(2), connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics failed"),
        Err(_elapsed) => tracing::debug!("a connection for metrics was too slow"),
    }
    drop(place);
}

async fn answer(node: &Node, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != PAGE {
        return page(StatusCode::NOT_FOUND, PLAIN, format!("see {PAGE}\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::new());
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    match scrape(node).await {
        Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "metrics could not be told");
            page(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, String::new())
        }
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
