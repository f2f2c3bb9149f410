//! The image service: hands each call to its file in `rpc`. Main type: [`ImageDoor`].

use std::sync::Arc;

use cri::v1::{
    ImageFsInfoRequest, ImageFsInfoResponse, ImageStatusRequest, ImageStatusResponse,
    ListImagesRequest, ListImagesResponse, PullImageRequest, PullImageResponse, RemoveImageRequest,
    RemoveImageResponse, StreamImagesRequest, StreamImagesResponse,
    image_service_server::ImageService,
};
use tonic::Request;

use crate::{
    node::Node,
    rpc::{
        self,
        stream::{self, Pieces},
    },
    runtime_service::{Answer, answer},
};

/// The door.
#[derive(Debug, Clone)]
pub(crate) struct ImageDoor(pub(crate) Arc<Node>);

#[tonic::async_trait]
impl ImageService for ImageDoor {
    async fn list_images(&self, request: Request<ListImagesRequest>) -> Answer<ListImagesResponse> {
        answer("ListImages", async {
            let filter = request.into_inner().filter;
            let images = rpc::list_images::list_images(&self.0, filter).await?;
            Ok(ListImagesResponse { images })
        })
        .await
    }

    type StreamImagesStream = Pieces<StreamImagesResponse>;

    async fn stream_images(
        &self,
        request: Request<StreamImagesRequest>,
    ) -> Answer<Self::StreamImagesStream> {
        answer("StreamImages", async {
            let filter = request.into_inner().filter;
            let all = rpc::list_images::list_images(&self.0, filter).await?;
            Ok(stream::pieces(all, |images| StreamImagesResponse {
                images,
            }))
        })
        .await
    }

    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Answer<ImageStatusResponse> {
        answer(
            "ImageStatus",
            rpc::image_status::image_status(&self.0, request.into_inner()),
        )
        .await
    }

    async fn pull_image(&self, request: Request<PullImageRequest>) -> Answer<PullImageResponse> {
        answer(
            "PullImage",
            rpc::pull_image::pull_image(&self.0, request.into_inner()),
        )
        .await
    }

    async fn remove_image(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Answer<RemoveImageResponse> {
        answer(
            "RemoveImage",
            rpc::remove_image::remove_image(&self.0, request.into_inner()),
        )
        .await
    }

    async fn image_fs_info(
        &self,
        _request: Request<ImageFsInfoRequest>,
    ) -> Answer<ImageFsInfoResponse> {
        answer("ImageFsInfo", rpc::image_fs_info::image_fs_info(&self.0)).await
    }
}
