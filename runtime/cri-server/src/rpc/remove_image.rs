//! RemoveImage: the image with all its names, whichever one was given. One that is not there is no error.

use std::sync::Arc;

use cri::v1::{RemoveImageRequest, RemoveImageResponse};
use images::StoreError;
use tonic::Status;

use crate::{failure, node::Node, work};

pub(crate) async fn remove_image(
    node: &Arc<Node>,
    request: RemoveImageRequest,
) -> Result<RemoveImageResponse, Status> {
    let name = request.image.map(|image| image.image);
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Status::invalid_argument("there is no image to remove"))?;
    let store = Arc::clone(&node.store);
    // Containers run on; what they need of it goes after them.
    let removed = work::blocking(move || store.remove_image(&name));
    match removed.await? {
        Ok(removed) => {
            tracing::info!(image = ?removed.image, freed_bytes = removed.freed_bytes, "an image has been removed");
            Ok(RemoveImageResponse {})
        }
        Err(StoreError::NotFound(_)) => Ok(RemoveImageResponse {}),
        Err(error) => Err(failure::store(&error)),
    }
}
