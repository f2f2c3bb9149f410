//! The generated client against the generated server, in one process: plain calls, a stream, the limit of a message.

use tonic::codegen::{BoxStream, tokio_stream};
use tonic::{Code, Request, Response, Status};

use crate::MAX_MESSAGE_BYTES;
use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::image_service_server::{ImageService, ImageServiceServer};
use crate::v1::{
    Image, ImageFsInfoRequest, ImageFsInfoResponse, ImageStatusRequest, ImageStatusResponse,
    ListImagesRequest, ListImagesResponse, PullImageRequest, PullImageResponse, RemoveImageRequest,
    RemoveImageResponse, StreamImagesRequest, StreamImagesResponse,
};

/// Images whose one tag is so long.
#[derive(Debug)]
struct Listed {
    tag_bytes: usize,
}

impl Listed {
    fn images(&self) -> Vec<Image> {
        let image = |id: &str| Image {
            id: id.to_owned(),
            repo_tags: vec!["t".repeat(self.tag_bytes)],
            ..Image::default()
        };
        vec![image("sha256:1"), image("sha256:2")]
    }
}

#[tonic::async_trait]
impl ImageService for Listed {
    type StreamImagesStream = BoxStream<StreamImagesResponse>;

    async fn list_images(
        &self,
        _request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let images = self.images();
        Ok(Response::new(ListImagesResponse { images }))
    }

    async fn stream_images(
        &self,
        _request: Request<StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let pieces = self.images().into_iter().map(|image| {
            Ok(StreamImagesResponse {
                images: vec![image],
            })
        });
        let pieces: Vec<_> = pieces.collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn image_status(
        &self,
        _request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        Ok(Response::new(ImageStatusResponse::default()))
    }

    async fn pull_image(
        &self,
        request: Request<PullImageRequest>,
    ) -> Result<Response<PullImageResponse>, Status> {
        let image = request.into_inner().image.unwrap_or_default();
        Ok(Response::new(PullImageResponse {
            image_ref: image.image,
        }))
    }

    async fn remove_image(
        &self,
        _request: Request<RemoveImageRequest>,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        Err(Status::unimplemented("remove image"))
    }

    async fn image_fs_info(
        &self,
        _request: Request<ImageFsInfoRequest>,
    ) -> Result<Response<ImageFsInfoResponse>, Status> {
        Err(Status::unimplemented("image file system"))
    }
}

fn client(tag_bytes: usize) -> ImageServiceClient<ImageServiceServer<Listed>> {
    ImageServiceClient::new(ImageServiceServer::new(Listed { tag_bytes }))
}

#[tokio::test]
async fn call_carries_the_message_there_and_back() {
    let mut request = PullImageRequest::default();
    request.image.get_or_insert_default().image = "busybox:1".to_owned();
    let answer = client(1).pull_image(request).await.expect("pull image");
    assert_eq!(answer.into_inner().image_ref, "busybox:1");
}

#[tokio::test]
async fn call_not_served_is_unimplemented() {
    let error = client(1)
        .remove_image(RemoveImageRequest::default())
        .await
        .expect_err("not served");
    assert_eq!(error.code(), Code::Unimplemented);
}

#[tokio::test]
async fn stream_ends_after_its_last_piece() {
    let answer = client(1)
        .stream_images(StreamImagesRequest::default())
        .await;
    let mut pieces = answer.expect("stream images").into_inner();
    let mut ids = Vec::new();
    while let Some(piece) = pieces.message().await.expect("a piece") {
        ids.extend(piece.images.into_iter().map(|image| image.id));
    }
    assert_eq!(ids, ["sha256:1", "sha256:2"]);
}

#[tokio::test]
async fn message_above_the_default_limit_arrives_with_ours() {
    // Two images of 3 MiB: above tonic's 4 MiB, below our 16.
    let list = ListImagesRequest::default();
    let refused = client(3 << 20).list_images(list.clone()).await;
    assert_eq!(refused.expect_err("too large").code(), Code::OutOfRange);
    let answer = client(3 << 20)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .list_images(list)
        .await;
    assert_eq!(answer.expect("list images").into_inner().images.len(), 2);
}
