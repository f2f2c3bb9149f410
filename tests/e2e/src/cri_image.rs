//! Images over CRI, from a real registry: names, digests, tags, users, images in use. What can happen to a pull is in `cri_pull`.

use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{
    AuthConfig, FilesystemUsage, Image, ImageFsInfoRequest, ImageSpec, ImageStatusRequest,
    ListImagesRequest, PullImageRequest, RemoveImageRequest, StreamImagesRequest,
};
use harness::busybox;
use harness::image::{Bundle, Compression, ImageBuilder, Layer, MultiArch};
use harness::registry::{Access, Registry, Storage};
use toml::{Table, Value};
use tonic::{Response, Status};

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::{Daemon, ImageClient, all};
use crate::deadlines::{self, LOOK_AGAIN};

pub(crate) const TESTS: &[Test] = &[
    (
        "image_is_the_same_by_tag_by_digest_and_through_a_mirror",
        names,
    ),
    ("image_with_two_tags_goes_by_one_of_them", two_tags),
    ("image_in_use_is_removed_when_its_user_goes", in_use),
    ("image_that_the_configuration_pins_is_told_so", pinned),
];

/// Removals of one image at the same time.
const REMOVALS: usize = 5;

/// The image of this machine's busybox behind one for another machine, as an index that has to be chosen from.
fn multi_arch() -> Result<MultiArch> {
    let other = Layer::new(Compression::Gzip).file("bin/sh", 0o755, "for another machine");
    let other = ImageBuilder::new("app:1")
        .architecture("arm64")
        .layer(other);
    let own = busybox::busybox_image()?;
    Ok(MultiArch::new("app:1", vec![other.build()?, own.build()?]))
}

pub(crate) fn marked(mark: &str) -> Result<Bundle> {
    marked_of(mark, "")
}

/// One that runs as this user.
fn marked_of(mark: &str, user: &str) -> Result<Bundle> {
    let layer = Layer::new(Compression::Zstd).file("mark", 0o644, mark);
    ImageBuilder::new("app:1").layer(layer).user(user).build()
}

pub(crate) fn storage(case: &Case) -> Result<Storage> {
    Storage::new(&case.folder().join("registry"))
}

/// A daemon with an empty store, for which docker.io is this registry.
pub(crate) fn daemon<'a>(case: &'a Case, registry: &Registry) -> Result<Daemon<'a>> {
    daemon_with(case, registry, Table::new())
}

/// The same with more keys laid over its configuration.
fn daemon_with<'a>(case: &'a Case, registry: &Registry, mut over: Table) -> Result<Daemon<'a>> {
    let mirror = format!("http://{}", registry.address());
    let mirror = Table::from_iter([("url".to_owned(), Value::String(mirror))]);
    let host = Table::from_iter([
        ("host".to_owned(), Value::String("docker.io".to_owned())),
        (
            "mirrors".to_owned(),
            Value::Array(vec![Value::Table(mirror)]),
        ),
    ]);
    let registries = Value::Array(vec![Value::Table(host)]);
    over.insert("registry".to_owned(), registries);
    Daemon::start_with(case, Images::Own, over)
}

pub(crate) fn spec(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.to_owned(),
        ..ImageSpec::default()
    }
}

pub(crate) fn pull_as(
    daemon: &Daemon<'_>,
    name: &str,
    auth: Option<AuthConfig>,
) -> Result<String, Status> {
    let request = PullImageRequest {
        image: Some(spec(name)),
        auth,
        sandbox_config: None,
    };
    let answer = daemon.image_call(async |mut client| client.pull_image(request).await);
    answer.map(|answer| answer.image_ref)
}

pub(crate) fn pull(daemon: &Daemon<'_>, name: &str) -> Result<String, Status> {
    pull_as(daemon, name, None)
}

fn status(daemon: &Daemon<'_>, name: &str) -> Result<Option<Image>, Status> {
    let request = ImageStatusRequest {
        image: Some(spec(name)),
        verbose: false,
    };
    let answer = daemon.image_call(async |mut client| client.image_status(request).await);
    answer.map(|answer| answer.image)
}

pub(crate) fn listed(daemon: &Daemon<'_>) -> Result<Vec<Image>, Status> {
    let request = ListImagesRequest::default();
    let answer = daemon.image_call(async |mut client| client.list_images(request).await);
    answer.map(|answer| answer.images)
}

/// All that StreamImages says until its end.
fn streamed(daemon: &Daemon<'_>) -> Result<Vec<Image>> {
    let mut client = image_client(daemon)?;
    daemon.block_on(async |_runtime| {
        let request = StreamImagesRequest::default();
        let stream = client.stream_images(request).await?;
        Ok(all(stream, |piece| piece.images).await?)
    })
}

/// For more than one call.
pub(crate) fn image_client(daemon: &Daemon<'_>) -> Result<ImageClient, Status> {
    daemon.image_call(async |client| Ok(Response::new(client)))
}

pub(crate) fn remove(daemon: &Daemon<'_>, name: &str) -> Result<(), Status> {
    let request = RemoveImageRequest {
        image: Some(spec(name)),
    };
    let answer = daemon.image_call(async |mut client| client.remove_image(request).await);
    answer.map(|_empty| ())
}

fn usage(daemon: &Daemon<'_>) -> Result<FilesystemUsage> {
    let request = ImageFsInfoRequest::default();
    let answer = daemon.image_call(async |mut client| client.image_fs_info(request).await);
    let usage = answer?.image_filesystems.into_iter().next();
    usage.context("the store's file system")
}

pub(crate) fn used_bytes(daemon: &Daemon<'_>) -> Result<u64> {
    Ok(usage(daemon)?.used_bytes.context("used bytes")?.value)
}

fn names(case: &Case) -> Result<()> {
    let (storage, image) = (storage(case)?, multi_arch()?);
    let content = image.content()?;
    storage.put("team/app", "1", &content)?;
    storage.put("library/busybox", "latest", &content)?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let daemon = daemon(case, &registry)?;
    let repository = format!("{}/team/app", registry.address());
    let by_tag = format!("{repository}:1");
    let by_digest = format!("{repository}@{}", content.root.digest);
    ensure!(status(&daemon, &by_tag)?.is_none(), "nothing is there yet");

    let id = pull(&daemon, &by_digest)?;
    let found = status(&daemon, &by_digest)?.context("it is there by its digest")?;
    ensure!(found.id == id && id.starts_with("sha256:"), "{found:?}");
    ensure!(found.repo_tags.is_empty(), "{found:?}");
    ensure!(found.repo_digests == [by_digest.clone()], "{found:?}");

    ensure!(pull(&daemon, &by_tag)? == id, "the same image by its tag");
    let found = status(&daemon, &by_tag)?.context("it is there by its tag")?;
    ensure!(found.repo_tags == [by_tag], "{found:?}");
    ensure!(found.size > 0, "{found:?}");

    ensure!(pull(&daemon, "busybox")? == id, "and through the mirror");
    let found = status(&daemon, "busybox")?.context("it is there by its short name")?;
    let hub = "docker.io/library/busybox:latest".to_owned();
    ensure!(found.repo_tags.contains(&hub), "{found:?}");
    ensure!(listed(&daemon)?.len() == 1, "{:?}", listed(&daemon)?);

    // What was chosen is this machine's: it runs.
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", "echo ran");
    config.image = Some(spec(&id));
    let container = daemon.create(&sandbox, config)?;
    daemon.start_container(&container)?;
    let ended = daemon.ended(&container)?;
    ensure!(ended.exit_code == 0, "{ended:?}");
    ensure!(ended.image_id == id, "{ended:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn two_tags(case: &Case) -> Result<()> {
    let (storage, one) = (storage(case)?, marked_of("one", "1002:5")?);
    for tag in ["1", "2"] {
        storage.put("team/app", tag, &one.content())?;
    }
    storage.put("team/app", "3", &marked("other")?.content())?;
    let named = marked_of("named", "www-data:5")?;
    storage.put("team/app", "4", &named.content())?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let daemon = daemon(case, &registry)?;
    let name = |tag: &str| format!("{}/team/app:{tag}", registry.address());
    let empty = used_bytes(&daemon)?;
    let id = pull(&daemon, &name("1"))?;
    ensure!(pull(&daemon, &name("2"))? == id, "two names of one image");
    ensure!(pull(&daemon, &name("3"))? != id, "another image");
    pull(&daemon, &name("4"))?;
    let found = status(&daemon, &id)?.context("it is there by its id")?;
    ensure!(found.repo_tags.len() == 2, "{found:?}");
    let bare = id.trim_start_matches("sha256:");
    let by_bare = status(&daemon, bare)?.context("it is there by its id without sha256:")?;
    ensure!(bare.len() == 64 && by_bare == found, "{by_bare:?}");
    for (tag, uid, username) in [
        ("1", Some(1002), ""),
        ("3", Some(0), ""),
        ("4", None, "www-data"),
    ] {
        let found = status(&daemon, &name(tag))?.context("it is there by its tag")?;
        let user = (found.uid.map(|uid| uid.value), found.username.as_str());
        ensure!(user == (uid, username), "{found:?}");
    }
    let by_id = |mut images: Vec<Image>| {
        images.sort_by(|one, other| one.id.cmp(&other.id));
        images
    };
    let listed_now = by_id(listed(&daemon)?);
    ensure!(listed_now.len() == 3, "{listed_now:?}");
    ensure!(by_id(streamed(&daemon)?) == listed_now, "{listed_now:?}");
    ensure!(usage(&daemon)?.timestamp > 0, "{:?}", usage(&daemon)?);
    ensure!(used_bytes(&daemon)? > empty, "it takes room");
    remove(&daemon, &name("1"))?;
    ensure!(status(&daemon, &name("2"))?.is_none(), "all its names go");
    remove(&daemon, &name("4"))?;
    let left = listed(&daemon)?;
    ensure!(
        left.len() == 1 && left[0].repo_tags == [name("3")],
        "{left:?}"
    );
    remove_at_once(&daemon, &name("3"))?;
    let mountpoint = usage(&daemon)?.fs_id.context("a folder")?.mountpoint;
    ensure!(Path::new(&mountpoint).is_dir(), "{mountpoint}");
    ensure!(used_bytes(&daemon)? == empty, "nothing stays");
    Ok(())
}

/// Several remove it at the same time, and for each it is gone when it is told so.
fn remove_at_once(daemon: &Daemon<'_>, name: &str) -> Result<()> {
    let removal = || -> Result<()> {
        remove(daemon, name)?;
        ensure!(status(daemon, name)?.is_none(), "it is not gone");
        ensure!(listed(daemon)?.is_empty(), "{:?}", listed(daemon)?);
        Ok(())
    };
    thread::scope(|scope| {
        let removals: Vec<_> = (0..REMOVALS).map(|_| scope.spawn(removal)).collect();
        let mut removals = removals.into_iter();
        removals.try_for_each(|removal| removal.join().ok().context("a removal's thread")?)
    })
}

fn in_use(case: &Case) -> Result<()> {
    let (storage, image) = (storage(case)?, multi_arch()?);
    storage.put("team/app", "1", &image.content()?)?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let daemon = daemon(case, &registry)?;
    let empty = used_bytes(&daemon)?;
    let id = pull(&daemon, &format!("{}/team/app:1", registry.address()))?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", "exec sleep 1000");
    config.image = Some(spec(&id));
    let container = daemon.create(&sandbox, config)?;
    daemon.start_container(&container)?;
    remove(&daemon, &id)?;
    ensure!(listed(&daemon)?.is_empty(), "{:?}", listed(&daemon)?);
    ensure!(used_bytes(&daemon)? > empty, "its user needs its bytes");
    // A program that has not been read yet comes from the removed image.
    let out = daemon.exec(&container, "exec sha256sum /bin/busybox", 60)?;
    ensure!(out.exit_code == 0, "{out:?}");
    daemon.remove_sandbox(&sandbox)?;
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while used_bytes(&daemon)? != empty {
        ensure!(Instant::now() < deadline, "its bytes go after its user");
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

fn pinned(case: &Case) -> Result<()> {
    let storage = storage(case)?;
    storage.put("team/pause", "1", &marked("one")?.content())?;
    storage.put("team/app", "1", &marked("other")?.content())?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let name = |path: &str| format!("{}/team/{path}", registry.address());
    let over = format!("[cri]\npinned_images = [{:?}]", name("pause:1"));
    let daemon = daemon_with(case, &registry, over.parse()?)?;
    let pause = pull(&daemon, &name("pause:1"))?;
    pull(&daemon, &name("app:1"))?;
    for image in listed(&daemon)? {
        ensure!(image.pinned == (image.id == pause), "{image:?}");
    }
    for (path, pinned) in [("pause:1", true), ("app:1", false)] {
        let found = status(&daemon, &name(path))?.context("it is there")?;
        ensure!(found.pinned == pinned, "{found:?}");
    }
    // Whoever removes it by hand means it; it is pinned again when it is back.
    remove(&daemon, &name("pause:1"))?;
    ensure!(status(&daemon, &pause)?.is_none(), "it is gone");
    pull(&daemon, &name("pause:1"))?;
    let found = status(&daemon, &pause)?.context("it is back")?;
    ensure!(found.pinned, "{found:?}");
    Ok(())
}
