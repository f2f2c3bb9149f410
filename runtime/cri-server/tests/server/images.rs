//! Images, with a real store.

use cri::v1::{
    ImageFilter, ImageFsInfoRequest, ImageSpec, ImageStatusRequest, ListImagesRequest,
    PullImageRequest, RemoveImageRequest, StreamImagesRequest,
};
use harness::image::{Compression, ImageBuilder, Layer};
use images::{Image, Store};
use tokio::task::JoinSet;
use tonic::Code;

use crate::bench::{Bench, check};

fn spec(image: &str) -> Option<ImageSpec> {
    Some(ImageSpec {
        image: image.to_owned(),
        ..ImageSpec::default()
    })
}

/// An image with two names.
fn import(bench: &Bench) -> Image {
    let store = Store::open(&bench.settings().images_dir).unwrap();
    let layer = Layer::new(Compression::None).file("hello", 0o644, "hello");
    let image = ImageBuilder::new("busybox:latest")
        .layer(layer)
        .user("1002:5");
    let archive = bench.path("image.tar");
    image.build().unwrap().write_oci_archive(&archive).unwrap();
    store.import(&archive, None, &mut |_| {}).unwrap();
    let name = "r.example/b:2".parse().unwrap();
    store.import(&archive, Some(name), &mut |_| {}).unwrap()
}

#[tokio::test]
async fn images_are_listed_with_all_their_names() {
    let bench = Bench::new();
    let image = import(&bench);
    let mut daemon = bench.serve().await;
    let listed = daemon.image.list_images(ListImagesRequest::default()).await;
    let listed = listed.unwrap().into_inner().images;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, image.id.to_string());
    let tags = ["docker.io/library/busybox:latest", "r.example/b:2"];
    assert_eq!(listed[0].repo_tags, tags);
    assert_eq!(listed[0].uid.as_ref().unwrap().value, 1002);
    assert!(listed[0].size > 0);
    let mut stream = daemon
        .image
        .stream_images(StreamImagesRequest::default())
        .await;
    let stream = stream.as_mut().unwrap().get_mut();
    assert_eq!(stream.message().await.unwrap().unwrap().images, listed);
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test]
async fn lists_of_images_are_filtered_by_any_reference() {
    let bench = Bench::new();
    import(&bench);
    let mut daemon = bench.serve().await;
    for (name, count) in [("busybox", 1), ("r.example/b:2", 1), ("nginx", 0), ("", 1)] {
        let request = ListImagesRequest {
            filter: Some(ImageFilter { image: spec(name) }),
        };
        let listed = daemon.image.list_images(request).await.unwrap();
        assert_eq!(listed.into_inner().images.len(), count, "{name}");
    }
}

#[tokio::test]
async fn image_is_found_by_every_kind_of_reference() {
    let bench = Bench::new();
    let image = import(&bench);
    let mut daemon = bench.serve().await;
    let id = image.id.to_string();
    let by_digest = format!("busybox@{}", image.digest);
    let references = [
        "busybox",
        "busybox:latest",
        &id,
        &image.id.hex(),
        &by_digest,
    ];
    for reference in references {
        let request = ImageStatusRequest {
            image: spec(reference),
            verbose: true,
        };
        let status = daemon
            .image
            .image_status(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(status.image.unwrap().id, id, "{reference}");
        assert!(status.info["info"].contains("rootfs"));
    }
    let request = ImageStatusRequest {
        image: spec("nginx"),
        verbose: true,
    };
    let status = daemon
        .image
        .image_status(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.image, None, "one that is not there is no error");
    let nameless = daemon
        .image
        .image_status(ImageStatusRequest::default())
        .await;
    check(nameless, Code::InvalidArgument, "image");
}

#[tokio::test]
async fn image_removed_by_one_name_is_gone_by_all_and_again() {
    let bench = Bench::new();
    import(&bench);
    let mut daemon = bench.serve().await;
    let mut removals = JoinSet::new();
    for _ in 0..5 {
        let mut client = daemon.image.clone();
        let request = RemoveImageRequest {
            image: spec("busybox"),
        };
        removals.spawn(async move { client.remove_image(request).await });
    }
    while let Some(removal) = removals.join_next().await {
        removal.unwrap().unwrap();
    }
    let listed = daemon.image.list_images(ListImagesRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().images, []);
    let nameless = daemon
        .image
        .remove_image(RemoveImageRequest::default())
        .await;
    check(nameless, Code::InvalidArgument, "image");
}

#[tokio::test]
async fn image_in_use_stays() {
    let bench = Bench::new();
    let image = import(&bench);
    let mut daemon = bench.serve().await;
    let store = Store::open(&bench.settings().images_dir).unwrap();
    let used = store.open_rootfs(&image).unwrap();
    let request = || RemoveImageRequest {
        image: spec("busybox"),
    };
    let removed = daemon.image.remove_image(request()).await;
    check(removed, Code::FailedPrecondition, "in use");
    drop(used);
    daemon.image.remove_image(request()).await.unwrap();
}

#[tokio::test]
async fn file_system_of_the_images_is_a_folder_with_something_in_it() {
    let bench = Bench::new();
    import(&bench);
    let mut daemon = bench.serve().await;
    let info = daemon.image.image_fs_info(ImageFsInfoRequest {}).await;
    let usage = info.unwrap().into_inner().image_filesystems.remove(0);
    assert!(usage.timestamp > 0);
    let mountpoint = usage.fs_id.unwrap().mountpoint;
    assert!(std::path::Path::new(&mountpoint).is_dir(), "{mountpoint}");
    assert!(usage.used_bytes.unwrap().value > 0);
    assert!(usage.inodes_used.unwrap().value > 0);
}

#[tokio::test]
async fn pull_says_that_there_is_no_registry_client() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let request = PullImageRequest {
        image: spec("nginx"),
        ..PullImageRequest::default()
    };
    let pulled = daemon.image.pull_image(request).await;
    check(pulled, Code::Unimplemented, "nginx");
    let nameless = daemon.image.pull_image(PullImageRequest::default()).await;
    check(nameless, Code::InvalidArgument, "image");
}
