//! GetContainerEvents: what happens from now on, until the daemon ends.

use std::sync::Arc;

use cri::v1::ContainerEventResponse;
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{BroadcastStream, WatchStream},
};
use tonic::Status;

use crate::node::Node;

/// A reader that is too slow gets an error and lists anew: an event that it missed would never come again.
pub(crate) fn get_container_events(
    node: &Arc<Node>,
) -> impl Stream<Item = Result<ContainerEventResponse, Status>> + use<> {
    let told = BroadcastStream::new(node.events.listen()).map(|event| match event {
        Ok(event) => Ok(ContainerEventResponse::clone(&event)),
        Err(lagged) => Err(Status::data_loss(format!(
            "the reader is too slow for the events ({lagged}): list, and listen again"
        ))),
    });
    let over = WatchStream::new(node.events.over()).filter(|over| *over);
    // Whatever comes behind None is not told.
    told.map(Some)
        .merge(over.map(|_over| None))
        .map_while(|event| event)
}
