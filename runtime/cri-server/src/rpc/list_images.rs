//! ListImages and StreamImages: which images there are.

use std::sync::Arc;

use cri::v1::{Image, ImageFilter};
use images::StoreError;
use tonic::Status;

use crate::{failure, node::Node, translate, work};

pub(crate) async fn list_images(
    node: &Arc<Node>,
    filter: Option<ImageFilter>,
) -> Result<Vec<Image>, Status> {
    let (store, pins) = (Arc::clone(&node.store), node.settings.pinned_images.clone());
    let listed = work::blocking(move || {
        let wanted = filter.as_ref().and_then(|filter| filter.image.as_ref());
        let named = match wanted.filter(|wanted| !wanted.image.is_empty()) {
            None => None,
            Some(wanted) => match store.resolve(&wanted.image) {
                Ok(image) => Some(image.id.to_string()),
                Err(StoreError::NotFound(_)) => None,
                Err(error) => return Err(error),
            },
        };
        let all = store.list()?;
        let all = all.iter().map(|image| translate::image(image, &pins));
        let matching =
            all.filter(|image| translate::image_matches(image, filter.as_ref(), named.as_deref()));
        Ok(matching.collect())
    });
    listed.await?.map_err(|error| failure::store(&error))
}
