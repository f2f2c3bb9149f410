//! Images over CRI, from a real registry: names, digests, tags, credentials, a registry that goes away, images in use.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{
    AuthConfig, FilesystemUsage, Image, ImageFsInfoRequest, ImageSpec, ImageStatusRequest,
    ListImagesRequest, PullImageRequest, RemoveImageRequest,
};
use harness::busybox;
use harness::image::{Bundle, Compression, ImageBuilder, Layer, MultiArch};
use harness::registry::{Access, PASSWORD, Registry, Storage, USER};
use toml::{Table, Value};
use tonic::{Code, Status};

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::{Daemon, expect_failure};
use crate::deadlines::{self, LOOK_AGAIN};

pub(crate) const TESTS: &[Test] = &[
    (
        "image_is_the_same_by_tag_by_digest_and_through_a_mirror",
        names,
    ),
    ("image_with_two_tags_goes_by_one_of_them", two_tags),
    ("what_the_registry_does_not_have_is_not_found", missing),
    ("credentials_are_right_or_refused", credentials),
    ("registry_that_stops_in_the_middle_is_waited_for", frozen),
    (
        "registry_that_is_cut_off_fails_the_pull_and_leaves_nothing",
        cut,
    ),
    ("image_in_use_is_removed_when_its_user_goes", in_use),
];

/// Enough that a pull is still at it when the registry goes.
const LARGE_BYTES: usize = 24 << 20;
/// So much is in the store before the registry goes.
const BEGUN_BYTES: u64 = 1 << 20;

/// The image of this machine's busybox behind one for another machine, as an index that has to be chosen from.
fn multi_arch() -> Result<MultiArch> {
    let other = Layer::new(Compression::Gzip).file("bin/sh", 0o755, "for another machine");
    let other = ImageBuilder::new("app:1")
        .architecture("arm64")
        .layer(other);
    let own = busybox::busybox_image()?;
    Ok(MultiArch::new("app:1", vec![other.build()?, own.build()?]))
}

fn marked(mark: &str) -> Result<Bundle> {
    let layer = Layer::new(Compression::Zstd).file("mark", 0o644, mark);
    ImageBuilder::new("app:1").layer(layer).build()
}

fn storage(case: &Case) -> Result<Storage> {
    Storage::new(&case.folder().join("registry"))
}

/// A daemon with an empty store, for which docker.io is this registry.
fn daemon<'a>(case: &'a Case, registry: &Registry) -> Result<Daemon<'a>> {
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
    let over = Table::from_iter([("registry".to_owned(), registries)]);
    Daemon::start_with(case, Images::Own, over)
}

fn spec(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.to_owned(),
        ..ImageSpec::default()
    }
}

fn pull_as(daemon: &Daemon<'_>, name: &str, auth: Option<AuthConfig>) -> Result<String, Status> {
    let request = PullImageRequest {
        image: Some(spec(name)),
        auth,
        sandbox_config: None,
    };
    let answer = daemon.image_call(async |mut client| client.pull_image(request).await);
    answer.map(|answer| answer.image_ref)
}

fn pull(daemon: &Daemon<'_>, name: &str) -> Result<String, Status> {
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

fn listed(daemon: &Daemon<'_>) -> Result<Vec<Image>, Status> {
    let request = ListImagesRequest::default();
    let answer = daemon.image_call(async |mut client| client.list_images(request).await);
    answer.map(|answer| answer.images)
}

fn remove(daemon: &Daemon<'_>, name: &str) -> Result<(), Status> {
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

fn used_bytes(daemon: &Daemon<'_>) -> Result<u64> {
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
    let (storage, one, other) = (storage(case)?, marked("one")?, marked("other")?);
    for tag in ["1", "2"] {
        storage.put("team/app", tag, &one.content())?;
    }
    storage.put("team/app", "3", &other.content())?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let daemon = daemon(case, &registry)?;
    let name = |tag: &str| format!("{}/team/app:{tag}", registry.address());
    let empty = used_bytes(&daemon)?;
    let id = pull(&daemon, &name("1"))?;
    ensure!(pull(&daemon, &name("2"))? == id, "two names of one image");
    ensure!(pull(&daemon, &name("3"))? != id, "another image");
    let found = status(&daemon, &id)?.context("it is there by its id")?;
    ensure!(found.repo_tags.len() == 2, "{found:?}");
    ensure!(used_bytes(&daemon)? > empty, "it takes room");
    remove(&daemon, &name("1"))?;
    ensure!(status(&daemon, &name("2"))?.is_none(), "all its names go");
    let left = listed(&daemon)?;
    ensure!(
        left.len() == 1 && left[0].repo_tags == [name("3")],
        "{left:?}"
    );
    for _ in 0..2 {
        remove(&daemon, &name("3"))?;
    }
    ensure!(listed(&daemon)?.is_empty(), "{:?}", listed(&daemon)?);
    let mountpoint = usage(&daemon)?.fs_id.context("a folder")?.mountpoint;
    ensure!(Path::new(&mountpoint).is_dir(), "{mountpoint}");
    ensure!(used_bytes(&daemon)? == empty, "nothing stays");
    Ok(())
}

fn missing(case: &Case) -> Result<()> {
    let (storage, image) = (storage(case)?, marked("one")?);
    storage.put("team/app", "1", &image.content())?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let daemon = daemon(case, &registry)?;
    let absent = format!("sha256:{}", "0".repeat(64));
    for name in ["team/app:2", "team/other:1", &format!("team/app@{absent}")] {
        let name = format!("{}/{name}", registry.address());
        expect_failure(pull(&daemon, &name), Code::NotFound, &name)?;
    }
    ensure!(listed(&daemon)?.is_empty(), "{:?}", listed(&daemon)?);
    ensure!(at_work(case) == 0, "nothing is half there");
    Ok(())
}

fn credentials(case: &Case) -> Result<()> {
    let (storage, image) = (storage(case)?, marked("one")?);
    storage.put("team/app", "1", &image.content())?;
    let registry = Registry::start(&storage, Access::WithPassword)?;
    let daemon = daemon(case, &registry)?;
    let name = format!("{}/team/app:1", registry.address());
    let with = |password: &str| {
        Some(AuthConfig {
            username: USER.to_owned(),
            password: password.to_owned(),
            ..AuthConfig::default()
        })
    };
    for auth in [None, with("a-wrong-secret")] {
        let refused = pull_as(&daemon, &name, auth);
        expect_failure(refused, Code::Unauthenticated, &name)?;
    }
    let log = daemon.log();
    ensure!(
        !log.contains("a-wrong-secret"),
        "a password is in the log: {log}"
    );
    pull_as(&daemon, &name, with(PASSWORD))?;
    ensure!(listed(&daemon)?.len() == 1, "{:?}", listed(&daemon)?);
    Ok(())
}

/// A registry with one image that takes a while, and its name.
fn large(case: &Case) -> Result<(Registry, String)> {
    let storage = storage(case)?;
    let mut noise = vec![0; LARGE_BYTES];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut noise))
        .context("read bytes that nothing compresses")?;
    let layer = Layer::new(Compression::None).file("noise", 0o644, noise);
    let image = ImageBuilder::new("app:1").layer(layer).build()?;
    storage.put("team/large", "1", &image.content())?;
    let registry = Registry::start(&storage, Access::Everyone)?;
    let name = format!("{}/team/large:1", registry.address());
    Ok((registry, name))
}

/// Bytes of pulls that are under way.
fn at_work(case: &Case) -> u64 {
    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let sizes = entries.map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => size(&entry.path()),
            Ok(about) => about.len(),
            // It has gone meanwhile.
            Err(_gone) => 0,
        });
        sizes.sum()
    }
    size(&case.daemon_images().join("tmp"))
}

fn until_begun(case: &Case) -> Result<()> {
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while at_work(case) < BEGUN_BYTES {
        ensure!(Instant::now() < deadline, "no byte of the layer arrives");
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

fn frozen(case: &Case) -> Result<()> {
    let (registry, name) = large(case)?;
    let daemon = daemon(case, &registry)?;
    let pulled = thread::scope(|scope| {
        let pulled = scope.spawn(|| pull(&daemon, &name));
        until_begun(case)?;
        registry.freeze()?;
        let ended_early = pulled.is_finished();
        registry.thaw()?;
        ensure!(!ended_early, "the pull was in the middle");
        pulled
            .join()
            .ok()
            .context("the pull's thread")?
            .context("the pull goes on")
    })?;
    let found = status(&daemon, &name)?.context("it is there")?;
    ensure!(found.id == pulled, "{found:?}");
    Ok(())
}

fn cut(case: &Case) -> Result<()> {
    let (mut registry, name) = large(case)?;
    let daemon = daemon(case, &registry)?;
    let empty = used_bytes(&daemon)?;
    let refused = thread::scope(|scope| {
        let pulled = scope.spawn(|| pull(&daemon, &name));
        until_begun(case)?;
        registry.cut()?;
        pulled.join().ok().context("the pull's thread")
    })?;
    let message = match &refused {
        Err(status) => status.message().to_owned(),
        Ok(id) => anyhow::bail!("a pull without a registry gave {id}"),
    };
    // The word by which kubelet knows it stands first.
    let address = registry.address().to_string();
    let told = message.starts_with("RegistryUnavailable: ") && message.contains(&address);
    ensure!(told, "{message}");
    ensure!(at_work(case) == 0, "nothing is half there");
    ensure!(listed(&daemon)?.is_empty(), "{:?}", listed(&daemon)?);
    ensure!(used_bytes(&daemon)? == empty, "nothing stays");
    registry.resume()?;
    pull(&daemon, &name).context("once it is back")?;
    ensure!(used_bytes(&daemon)? >= LARGE_BYTES as u64, "all of it");
    Ok(())
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
