//! Every image that critest 1.36 pulls, put into a registry's folder. Main function: [`put_all`].
//!
//! A mirror is asked by an image's path alone, so the registries' own names are left out. One image can't be here: critest
//! has the digest of a public one compiled in (`expected-skips` says it).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use harness::image::{Bundle, Compression, ImageBuilder, Layer, MultiArch};
use harness::registry::Storage;

use crate::debian::Packages;
use crate::{nginx, userland};

/// The registries that the images are named after.
pub(crate) const REGISTRIES: [&str; 4] =
    ["registry.k8s.io", "k8s.gcr.io", "gcr.io", "public.ecr.aws"];

/// What critest asks for by flags, instead of by names compiled in.
pub(crate) const LIST: &str = "\
defaultTestContainerImage: registry.k8s.io/e2e-test-images/busybox:1.29-2
webServerTestImage: registry.k8s.io/e2e-test-images/nginx:1.14-2
";

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHELL: [&str; 1] = ["sh"];
/// Where critest looks for the web server of the host's network.
const HOST_NETWORK_PORT: u16 = 12003;
/// A static program of the harness that prints its effective user.
const EFFECTIVE_USER: &str = "effective-user";
const OTHER_ARCHITECTURE: &str = "arm64";

/// The layers that images share.
struct Layers {
    userland: Layer,
    nginx: Layer,
}

pub(crate) fn put_all(dist: &Path, storage: &Storage, folder: &Path) -> Result<()> {
    let names = [&userland::PACKAGES[..], &nginx::PACKAGES[..]].concat();
    let packages = Packages::fetch(&names, &folder.join("packages"))?;
    let layers = Layers {
        userland: userland::layer(&packages)?,
        nginx: nginx::layer(&packages)?,
    };
    e2e_images(&layers, dist, storage)?;
    tools_images(&layers, storage)?;
    let pause = with(&layers)
        .entrypoint(&["sleep", "1000000"])
        .user("65535");
    put_multi(storage, "pause", "3.9", &pause)
}

fn with(layers: &Layers) -> ImageBuilder {
    // Its name is the registry's business.
    ImageBuilder::new("image:latest")
        .layer(layers.userland.clone())
        .env("PATH", SEARCH_PATH)
        .cmd(&SHELL)
}

/// registry.k8s.io/e2e-test-images/…
fn e2e_images(layers: &Layers, dist: &Path, storage: &Storage) -> Result<()> {
    put_multi(storage, "e2e-test-images/busybox", "1.29-2", &with(layers))?;
    let nginx = with(layers)
        .layer(layers.nginx.clone())
        .cmd(&nginx::COMMAND);
    put(storage, "e2e-test-images/nginx", "1.14-2", &nginx)?;
    let command = "echo httpd is on port 80; exec httpd -f -v -p 80 -h /srv";
    let pages = Layer::new(Compression::Zstd).directory("srv", 0o755).file(
        "srv/index.html",
        0o644,
        "It works!\n",
    );
    let httpd = with(layers).layer(pages).cmd(&["sh", "-c", command]);
    put(storage, "e2e-test-images/httpd", "2.4.39-4", &httpd)?;
    let path = dist.join(EFFECTIVE_USER);
    let program =
        fs::read(&path).with_context(|| format!("read {}: run make dist", path.display()))?;
    let program = Layer::new(Compression::Gzip).file("nnp", 0o4755, program);
    let raised = with(layers).layer(program).entrypoint(&["/nnp"]).cmd(&[]);
    put(storage, "e2e-test-images/nonewprivs", "1.3", &raised)
}

/// gcr.io/k8s-staging-cri-tools/…
fn tools_images(layers: &Layers, storage: &Storage) -> Result<()> {
    let marked = |mark: &str| {
        let mark = Layer::new(Compression::Gzip).file("mark", 0o644, mark);
        with(layers).layer(mark)
    };
    let name = |image: &str| format!("k8s-staging-cri-tools/{image}");
    for image in [
        "test-image-1",
        "test-image-2",
        "test-image-3",
        "test-image-latest",
        "test-image-digest",
    ] {
        put_multi(storage, &name(image), "latest", &marked(image))?;
    }
    for tag in ["1", "2", "3"] {
        put(storage, &name("test-image-tags"), tag, &marked("one image"))?;
    }
    for tag in ["test", "all"] {
        put_multi(storage, &name("test-image-tag"), tag, &marked(tag))?;
    }
    for (image, user) in [
        ("test-image-user-uid", "1002"),
        ("test-image-user-username", "www-data"),
        ("test-image-user-uid-group", "1003:1004"),
        ("test-image-user-username-group", "www-data:1004"),
    ] {
        put(storage, &name(image), "latest", &with(layers).user(user))?;
    }
    let group = Layer::new(Compression::Gzip)
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/:/bin/sh\n",
        )
        .file(
            "etc/group",
            0o644,
            "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n",
        );
    let group = with(layers).layer(group).user("1000");
    put(
        storage,
        &name("test-image-predefined-group"),
        "latest",
        &group,
    )?;
    let host_network = with(layers)
        .layer(layers.nginx.clone())
        .layer(nginx::on_port(HOST_NETWORK_PORT))
        .cmd(&nginx::COMMAND);
    put(
        storage,
        &name("hostnet-nginx-amd64"),
        "latest",
        &host_network,
    )
}

fn put(storage: &Storage, repository: &str, tag: &str, image: &ImageBuilder) -> Result<()> {
    let image = image
        .build()
        .with_context(|| format!("build {repository}:{tag}"))?;
    storage.put(repository, tag, &image.content())
}

/// Behind one for other machines: a runtime has to choose.
fn put_multi(storage: &Storage, repository: &str, tag: &str, image: &ImageBuilder) -> Result<()> {
    let build = |image: &ImageBuilder| -> Result<Bundle> {
        image
            .build()
            .with_context(|| format!("build {repository}:{tag}"))
    };
    let other = build(&image.clone().architecture(OTHER_ARCHITECTURE))?;
    let both = MultiArch::new("image:latest", vec![other, build(image)?]);
    storage.put(repository, tag, &both.content()?)
}
