//! ImageStatus: one image by any reference. An image that is not there is no error.

use std::{collections::BTreeMap, sync::Arc};

use cri::v1::{ImageStatusRequest, ImageStatusResponse};
use images::{Image, StoreError};
use tonic::Status;

use crate::{failure, node::Node, translate, work};

pub(crate) async fn image_status(
    node: &Arc<Node>,
    request: ImageStatusRequest,
) -> Result<ImageStatusResponse, Status> {
    let name = request.image.map(|image| image.image);
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Status::invalid_argument("there is no image to look for"))?;
    let store = Arc::clone(&node.store);
    match work::blocking(move || store.resolve(&name)).await? {
        Ok(image) => Ok(ImageStatusResponse {
            image: Some(translate::image(&image, &node.settings.pinned_images)),
            info: info(&image, request.verbose)?,
        }),
        Err(StoreError::NotFound(_)) => Ok(ImageStatusResponse::default()),
        Err(error) => Err(failure::store(&error)),
    }
}

/// The image's own configuration, which is public to whoever can start a container of it.
fn info(image: &Image, verbose: bool) -> Result<BTreeMap<String, String>, Status> {
    if !verbose {
        return Ok(BTreeMap::new());
    }
    let info = serde_json::json!({ "imageSpec": image.config, "digest": image.digest });
    Ok(BTreeMap::from([("info".to_owned(), info.to_string())]))
}
