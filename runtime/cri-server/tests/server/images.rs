//! Images, with a real store.

use cri::v1::{
    ImageFilter, ImageFsInfoRequest, ImageSpec, ImageStatusRequest, ListImagesRequest,
    RemoveImageRequest, RemovePodSandboxRequest, StreamImagesRequest,
};
use harness::image::{Compression, ImageBuilder, Layer};
use images::{Image, Store};
use tokio::task::JoinSet;
use tonic::Code;

use crate::bench::{Bench, SOON, check, sandbox};

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
async fn image_in_use_is_removed_and_its_blobs_follow_when_containers_go() {
    let bench = Bench::new();
    let image = import(&bench);
    bench.record_pod("p1", &sandbox("web"));
    let mut daemon = bench.serve().await;
    let store = Store::open(&bench.settings().images_dir).unwrap();
    let used = store.open_rootfs(&image).unwrap();
    let request = || RemoveImageRequest {
        image: spec("busybox"),
    };
    daemon.image.remove_image(request()).await.unwrap();
    daemon.image.remove_image(request()).await.unwrap();
    let listed = daemon.image.list_images(ListImagesRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().images, []);
    let blobs = bench.settings().images_dir.join("blobs/sha256");
    let blobs = || std::fs::read_dir(&blobs).unwrap().count();
    assert_eq!(blobs(), 1, "a container runs from it");
    drop(used);
    let pod_sandbox_id = "p1".to_owned();
    let request = RemovePodSandboxRequest { pod_sandbox_id };
    daemon.runtime.remove_pod_sandbox(request).await.unwrap();
    let start = std::time::Instant::now();
    while blobs() > 0 {
        assert!(start.elapsed() < SOON, "nobody gives the blobs back");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn pinned_image_is_told_and_removed_all_the_same() {
    let bench = Bench::new();
    import(&bench);
    let store = Store::open(&bench.settings().images_dir).unwrap();
    store.pin("busybox").unwrap();
    let mut daemon = bench.serve().await;
    let listed = daemon.image.list_images(ListImagesRequest::default()).await;
    assert!(listed.unwrap().into_inner().images[0].pinned);
    let request = RemoveImageRequest {
        image: spec("busybox"),
    };
    daemon.image.remove_image(request).await.unwrap();
    assert!(store.list().unwrap().is_empty());
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
    let store = Store::open(&bench.settings().images_dir).unwrap();
    let expect = store.usage().unwrap();
    assert_eq!(usage.used_bytes.unwrap().value, expect.bytes);
    assert_eq!(usage.inodes_used.unwrap().value, expect.inodes);
}
