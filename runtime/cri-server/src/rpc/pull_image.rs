//! PullImage: the one place that uses the crate `registry`. A client that goes away takes its pull with it.

use std::{sync::Arc, time::Instant};

use cri::v1::{self, PullImageRequest, PullImageResponse};
use images::{Image, Reference};
use registry::{AuthConfig, LayerState, Progress};
use tokio::sync::watch;
use tonic::Status;

use crate::{failure, node::Node};

pub(crate) async fn pull_image(
    node: &Arc<Node>,
    request: PullImageRequest,
) -> Result<PullImageResponse, Status> {
    let name = request.image.map(|image| image.image);
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Status::invalid_argument("there is no image to pull"))?;
    let name: Reference = name.parse().map_err(|error| {
        let why = model::chain(&error);
        Status::invalid_argument(format!("{name:?} is no name of an image: {why}"))
    })?;
    let auth = request.auth.map(credentials).unwrap_or_default();
    let log = Log::start(&name);
    let pulled = node.puller.pull(&name, &auth, &log.progress).await;
    log.end(pulled.as_ref().ok());
    let image = pulled.map_err(|error| failure::pull(&error))?;
    Ok(PullImageResponse {
        image_ref: image.id.to_string(),
    })
}

fn credentials(auth: v1::AuthConfig) -> AuthConfig {
    AuthConfig {
        username: auth.username,
        password: auth.password,
        auth: auth.auth,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
        server_address: auth.server_address,
    }
}

/// What the log says of one pull: a line when it starts, and one when it ends, however it does.
struct Log<'a> {
    name: &'a Reference,
    progress: watch::Sender<Progress>,
    start: Instant,
    ended: bool,
}

impl<'a> Log<'a> {
    fn start(name: &'a Reference) -> Self {
        tracing::info!(image = %name, "pulling an image");
        Self {
            name,
            progress: watch::Sender::new(Progress::default()),
            start: Instant::now(),
            ended: false,
        }
    }

    /// A failure is told by the answer, which is logged for every call.
    fn end(mut self, image: Option<&Image>) {
        self.ended = true;
        let Some(image) = image else { return };
        let took = self.start.elapsed();
        let fetched_bytes = fetched_bytes(&self.progress.borrow());
        tracing::info!(image = %self.name, id = %image.id, fetched_bytes, ?took, "the image is here");
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let fetched_bytes = fetched_bytes(&self.progress.borrow());
            tracing::info!(image = %self.name, fetched_bytes, "nobody waits for the image any more: the pull ends");
        }
    }
}

/// Packed bytes that came from a registry; what was here before does not count.
fn fetched_bytes(progress: &Progress) -> u64 {
    let layers = progress.layers.iter();
    let fetched = layers.filter(|layer| layer.state != LayerState::Present);
    fetched.map(|layer| layer.read_bytes).sum()
}
