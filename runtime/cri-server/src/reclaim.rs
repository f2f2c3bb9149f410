//! Gives disk back when containers go: the blobs of an image that was removed under a running container stay until then. Main type:
//! [`Reclaim`]. Used by the calls that end containers. Below: `images`.

use std::sync::Arc;

use images::Store;
use tokio::sync::mpsc;

use crate::work;

/// One task that sweeps the store; wishes that come while one waits are one.
#[derive(Debug)]
pub(crate) struct Reclaim(mpsc::Sender<()>);

impl Reclaim {
    /// The task ends with this handle.
    pub(crate) fn start(store: Arc<Store>) -> Self {
        let (wish, wishes) = mpsc::channel(1);
        tokio::spawn(sweep(store, wishes));
        Self(wish)
    }

    /// Soon; nobody waits for it.
    pub(crate) fn wish(&self) {
        // Full: the sweep that is to come serves this wish too.
        self.0.try_send(()).ok();
    }
}

async fn sweep(store: Arc<Store>, mut wishes: mpsc::Receiver<()>) {
    while let Some(()) = wishes.recv().await {
        let store = Arc::clone(&store);
        match work::blocking(move || store.reclaim()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(freed_bytes)) => {
                tracing::info!(
                    freed_bytes,
                    "blobs of removed images are gone with their last container"
                );
            }
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "blobs of removed images could not be swept");
            }
            Err(error) => tracing::warn!(%error, "blobs of removed images could not be swept"),
        }
    }
}
