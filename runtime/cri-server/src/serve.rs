//! The server: socket, recovery, both services, streams, an end that leaves the pods alone. Main function: [`serve`]. Neighbours:
//! `socket`, `node`, the two services, `streams`.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use cri::{
    MAX_MESSAGE_BYTES,
    v1::{image_service_server::ImageServiceServer, runtime_service_server::RuntimeServiceServer},
};
use streaming::{BindError, Server as StreamingServer, Tls};
use thiserror::Error;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service, http},
    transport::Server,
};

use crate::{
    client_deadline::ClientDeadline,
    exporter::{Exporter, Figures, ListenError},
    image_service::ImageDoor,
    node::{Node, OpenError},
    notify,
    runtime_service::RuntimeDoor,
    settings::{Settings, StreamingSettings},
    socket::{Socket, SocketError},
    streams::Streams,
};

/// Where the image service's calls go.
const IMAGE_SERVICE: &str = "/runtime.v1.ImageService/";

/// Why a daemon did not serve, or not any more.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Its socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// What it begins with.
    #[error("begin to serve")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Where its clients come for streams.
    #[error(transparent)]
    Streaming(#[from] BindError),
    /// Its own figures.
    #[error(transparent)]
    Metrics(#[from] ListenError),
    /// The connections.
    #[error("serve the Container Runtime Interface")]
    Serve(#[source] tonic::transport::Error),
}

impl From<OpenError> for ServeError {
    fn from(error: OpenError) -> Self {
        Self::Open(error.into())
    }
}

/// Serves until `end`. Calls that are under way then have a few seconds; the pods live on.
///
/// # Errors
/// When another daemon serves there, or what it needs can't be had.
pub async fn serve(
    settings: Settings,
    end: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    // First of all: two daemons must not take the same pods over.
    let (socket, listener) = Socket::bind(&settings.socket)?;
    let node = Node::open(settings).await?;
    let streaming = listen_for_streams(&node).await?;
    if let Err(error) = notify::ready() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the service manager was not told that we are ready"
        );
    }
    tracing::info!(socket = %node.settings.socket.display(), "serving the Container Runtime Interface");
    let shutdown = node.deadlines.shutdown;
    let events = Arc::clone(&node.events);
    let figures = match &node.settings.metrics {
        Some(listen) => Some(Exporter::bind(listen).await?),
        None => None,
    };
    let exporting = export(figures, Arc::clone(&node));
    let doors = Doors::new(node, streaming.clone());
    let (ending, ended) = oneshot::channel();
    let until = async {
        end.await;
        tracing::info!("asked to end; the pods live on");
        events.end();
        // Nobody hears it when serving has failed meanwhile.
        ending.send(()).ok();
    };
    // An exec without a timeout may never end.
    let patience = async {
        match ended.await {
            Ok(()) => sleep(shutdown).await,
            Err(_gone) => std::future::pending().await,
        }
    };
    let incoming = UnixListenerStream::new(listener);
    let serving = Server::builder().serve_with_incoming_shutdown(doors, incoming, until);
    let result = tokio::select! {
        result = serving => result.map_err(ServeError::Serve),
        () = patience => Ok(()),
        () = exporting => Ok(()),
    };
    // What doesn't end by then ends with the process.
    drop(timeout(shutdown, streaming.shutdown()).await);
    drop(socket);
    result
}

/// The streaming server, before anybody can ask for a URL.
async fn listen_for_streams(node: &Arc<Node>) -> Result<StreamingServer, BindError> {
    let StreamingSettings {
        listen,
        base_url,
        tls,
    } = node.settings.streaming.clone();
    if tls.is_none() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "streams pass other hosts without encryption: set streaming.certificate and streaming.key");
    }
    let settings = streaming::Settings {
        listen,
        base_url,
        tls: tls.map(|(certificate, key)| Tls { certificate, key }),
        deadline_scale: node.settings.deadline_scale,
        ..streaming::Settings::default()
    };
    StreamingServer::bind(settings, Streams(Arc::clone(node))).await
}

/// Answers Prometheus, if it asks, until the daemon ends.
async fn export(exporter: Option<Exporter>, node: Arc<Node>) {
    if let Some(exporter) = exporter {
        exporter.serve(node).await;
    }
    std::future::pending().await
}

/// Both services behind one socket, told apart by the path. (tonic's own router would bring a whole web framework for it.)
#[derive(Debug, Clone)]
struct Doors {
    runtime: RuntimeServiceServer<RuntimeDoor>,
    image: ImageServiceServer<ImageDoor>,
    figures: Arc<Figures>,
}

impl Doors {
    fn new(node: Arc<Node>, streaming: StreamingServer) -> Self {
        let figures = Arc::clone(&node.figures);
        let runtime = RuntimeServiceServer::new(RuntimeDoor(Arc::clone(&node), streaming));
        let image = ImageServiceServer::new(ImageDoor(node));
        Self {
            runtime: runtime
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            image: image
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            figures,
        }
    }
}

impl Service<http::Request<Body>> for Doors {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Both services take a call at any time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let deadline = ClientDeadline::start(request.headers());
        let (begun, figures) = (Instant::now(), Arc::clone(&self.figures));
        let path = request.uri().path().to_owned();
        let call = if path.starts_with(IMAGE_SERVICE) {
            self.image.call(request)
        } else {
            // Answers UNIMPLEMENTED to what is not its own either.
            self.runtime.call(request)
        };
        let answered = deadline.hold(call);
        Box::pin(async move {
            let answer = answered.await?;
            figures.called(&path, &answer, begun.elapsed());
            Ok(answer)
        })
    }
}
