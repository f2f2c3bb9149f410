//! Pulls over CRI, from a real registry: what is not there, credentials, a registry that stops or goes away, clients that do.
//!
//! Neighbour: `cri_image`, whose registry, daemon and calls these are.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::{AuthConfig, PullImageRequest, VersionRequest};
use harness::image::{Compression, ImageBuilder, Layer};
use harness::registry::{Access, PASSWORD, Registry, USER};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::cri_image::{
    daemon, image_client, listed, marked, pull, pull_as, remove, spec, storage, used_bytes,
};
use crate::daemon::{Daemon, expect_failure};
use crate::deadlines::{self, LOOK_AGAIN};

pub(crate) const TESTS: &[Test] = &[
    ("what_the_registry_does_not_have_is_not_found", missing),
    ("credentials_are_right_or_refused", credentials),
    (
        "pulls_of_one_image_wait_together_for_a_registry_that_stops",
        frozen,
    ),
    ("pull_that_is_given_up_leaves_nothing", given_up),
    (
        "registry_that_is_cut_off_fails_the_pull_and_leaves_nothing",
        cut,
    ),
];

/// Enough that a pull is still at it when the registry goes.
const LARGE_BYTES: usize = 24 << 20;
/// So much is in the store before the registry goes.
const BEGUN_BYTES: u64 = 1 << 20;

/// Of one image, at the same time.
const PULLS: usize = 3;

/// For a call that waits for nobody.
const AT_ONCE: Duration = Duration::from_secs(1);

/// [`USER`] and [`PASSWORD`] with a colon between them, in base64.
const IN_BASE64: &str = "cmVhZGVyOnBhc3M6d29yZA==";

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
    let in_base64 = |server_address: &str| {
        Some(AuthConfig {
            auth: IN_BASE64.to_owned(),
            server_address: server_address.to_owned(),
            ..AuthConfig::default()
        })
    };
    // What is right for another registry goes to no other.
    let elsewhere = in_base64("registry.example.org");
    for auth in [None, with("a-wrong-secret"), elsewhere] {
        let refused = pull_as(&daemon, &name, auth);
        expect_failure(refused, Code::Unauthenticated, &name)?;
        tells_no_secret(&daemon)?;
    }
    let here = in_base64(&format!("http://{}/v2/", registry.address()));
    for auth in [with(PASSWORD), in_base64(""), here] {
        let id = pull_as(&daemon, &name, auth)?;
        ensure!(listed(&daemon)?.len() == 1, "{:?}", listed(&daemon)?);
        remove(&daemon, &id)?;
        tells_no_secret(&daemon)?;
    }
    Ok(())
}

fn tells_no_secret(daemon: &Daemon<'_>) -> Result<()> {
    let log = daemon.log();
    for secret in ["a-wrong-secret", PASSWORD, IN_BASE64] {
        ensure!(!log.contains(secret), "a password is in the log: {log}");
    }
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
pub(crate) fn at_work(case: &Case) -> u64 {
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
    // All ask at the same time, so that each finds the layer on its way.
    registry.freeze()?;
    let (ids, most) = thread::scope(|scope| {
        let pulls: Vec<_> = (0..PULLS)
            .map(|_| scope.spawn(|| pull(&daemon, &name)))
            .collect();
        until_asked(&daemon)?;
        registry.thaw()?;
        until_begun(case)?;
        registry.freeze()?;
        let ended_early = pulls.iter().any(|pull| pull.is_finished());
        let version = daemon.run_within(case.patience.stretch(AT_ONCE), async |mut client| {
            Ok(client.version(VersionRequest::default()).await?)
        });
        registry.thaw()?;
        ensure!(!ended_early, "the pulls were in the middle");
        version.context("Version waits for no pull")?;
        let mut most = 0;
        while !pulls.iter().all(|pull| pull.is_finished()) {
            most = most.max(at_work(case));
            thread::park_timeout(LOOK_AGAIN);
        }
        let ids = pulls.into_iter().map(|pull| {
            let id = pull.join().ok().context("a pull's thread")?;
            id.context("the pull goes on")
        });
        Ok((ids.collect::<Result<Vec<_>>>()?, most))
    })?;
    let images = listed(&daemon)?;
    ensure!(images.len() == 1, "{images:?}");
    ensure!(ids.iter().all(|id| *id == images[0].id), "{ids:?}");
    ensure!(
        most < 2 * LARGE_BYTES as u64,
        "{most} bytes: it came more than once"
    );
    Ok(())
}

/// Waits until the daemon knows of all pulls.
fn until_asked(daemon: &Daemon<'_>) -> Result<()> {
    let deadline = Instant::now() + daemon.case.patience.stretch(deadlines::STEP);
    while daemon.log().matches("pulling an image").count() < PULLS {
        ensure!(Instant::now() < deadline, "log: {}", daemon.log());
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

fn given_up(case: &Case) -> Result<()> {
    let (registry, name) = large(case)?;
    let daemon = daemon(case, &registry)?;
    let empty = used_bytes(&daemon)?;
    let mut client = image_client(&daemon)?;
    let request = PullImageRequest {
        image: Some(spec(&name)),
        ..PullImageRequest::default()
    };
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    daemon.block_on(async |_runtime| {
        let pull = tokio::spawn(async move { client.pull_image(request).await });
        while at_work(case) < BEGUN_BYTES {
            ensure!(Instant::now() < deadline, "no byte of the layer arrives");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        registry.freeze()?;
        pull.abort();
        let ended = pull.await;
        ensure!(ended.is_err(), "the pull was in the middle: {ended:?}");
        // Nothing comes from the registry that could end the pull in another way.
        while at_work(case) > 0 {
            ensure!(Instant::now() < deadline, "it stays: {}", at_work(case));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    })?;
    ensure!(listed(&daemon)?.is_empty(), "{:?}", listed(&daemon)?);
    ensure!(used_bytes(&daemon)? == empty, "nothing stays");
    registry.thaw()?;
    pull(&daemon, &name).context("by somebody who waits")?;
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
