//! An image as CRI says it. Main functions: [`image`], and [`image_names`] for the containers that are made from it.

use std::collections::BTreeSet;

use cri::v1::{Image as CriImage, Int64Value};
use images::{Image, ImageUser, Reference};

use crate::note::ImageNames;

/// One image; `pins` are the names that the configuration pins.
pub(crate) fn image(image: &Image, pins: &[Reference]) -> CriImage {
    let (uid, username) = match image.user() {
        ImageUser::Uid(uid) => (Some(Int64Value { value: uid.into() }), String::new()),
        ImageUser::Name(name) => (None, name),
    };
    CriImage {
        id: image.id.to_string(),
        repo_tags: repo_tags(image),
        repo_digests: repo_digests(image),
        size: image.size,
        uid,
        username,
        spec: None,
        pinned: image.pinned || pins.iter().any(|pin| goes_by(image, pin)),
    }
}

/// Whether this is one of its names. Where a name has a tag and a digest, the digest says which image is meant.
fn goes_by(image: &Image, name: &Reference) -> bool {
    match name.digest() {
        None => image.names.contains(name),
        Some(digest) => repo_digests(image).contains(&name.pinned(digest).to_string()),
    }
}

/// What a container that is made from it says of it. Each is there, whatever names the image has.
pub(crate) fn image_names(image: &Image) -> ImageNames {
    let id = image.id.to_string();
    let reference = repo_digests(image).into_iter().next();
    let reference = reference.unwrap_or_else(|| id.clone());
    let name = repo_tags(image).into_iter().next();
    ImageNames {
        name: name.unwrap_or_else(|| reference.clone()),
        reference,
        id,
    }
}

/// Whole names with a tag; none of an image that was pulled by digest.
fn repo_tags(image: &Image) -> Vec<String> {
    image.names.iter().map(ToString::to_string).collect()
}

/// `repository@digest`: the digest that the image was pulled by, which is that of an index where there was one; the manifest's for a
/// repository of which only tags are known, as of an import. An image without a manifest (of `docker save`) has none.
fn repo_digests(image: &Image) -> Vec<String> {
    let repository = |name: &Reference| format!("{}/{}", name.host(), name.path());
    let pulled: BTreeSet<_> = image.digests.iter().map(repository).collect();
    let mut all: BTreeSet<_> = image.digests.iter().map(ToString::to_string).collect();
    if image.digest != image.id {
        let named = image.names.iter().map(repository);
        let rest = named.filter(|repository| !pulled.contains(repository));
        all.extend(rest.map(|repository| format!("{repository}@{}", image.digest)));
    }
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use images::Digest;
    use oci_spec::image::ImageConfiguration;

    use super::*;

    fn of(names: &[&str], user: &str) -> Image {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"User":"{user}"}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        Image {
            id: Digest::of(b"configuration"),
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            digest: Digest::of(b"manifest"),
            digests: Vec::new(),
            pinned: false,
            size: 4096,
            created: None,
            config: ImageConfiguration::from_reader(config.as_bytes()).unwrap(),
        }
    }

    #[test]
    fn names_are_tags_and_digests() {
        let manifest = Digest::of(b"manifest");
        let index = Digest::of(b"index");
        let check = |names: &[&str], pulled: &[&str], tags: &[&str], digests: &[String]| {
            let pulled = pulled
                .iter()
                .map(|name| name.parse::<Reference>().unwrap().pinned(index));
            let image = Image {
                digests: pulled.collect(),
                ..of(names, "")
            };
            let image = super::image(&image, &[]);
            assert_eq!(image.repo_tags, tags);
            assert_eq!(image.repo_digests, digests);
        };
        let busybox = "docker.io/library/busybox";
        check(&[], &[], &[], &[]);
        // An import.
        check(
            &["busybox", "busybox:1"],
            &[],
            &[
                "docker.io/library/busybox:latest",
                "docker.io/library/busybox:1",
            ],
            &[format!("{busybox}@{manifest}")],
        );
        // Pulled by digest, by tag, by tag with an import beside it.
        check(&[], &["busybox"], &[], &[format!("{busybox}@{index}")]);
        check(
            &["busybox:1"],
            &["busybox"],
            &["docker.io/library/busybox:1"],
            &[format!("{busybox}@{index}")],
        );
        check(
            &["busybox:1", "r.example/b"],
            &["busybox"],
            &["docker.io/library/busybox:1", "r.example/b:latest"],
            &[
                format!("{busybox}@{index}"),
                format!("r.example/b@{manifest}"),
            ],
        );
    }

    #[test]
    fn pin_is_told() {
        let pinned = Image {
            pinned: true,
            ..of(&["busybox"], "")
        };
        assert!(image(&pinned, &[]).pinned);
        assert!(!image(&of(&["busybox"], ""), &[]).pinned);
    }

    #[test]
    fn image_is_pinned_by_the_names_of_the_configuration() {
        let manifest = Digest::of(b"manifest");
        let index = Digest::of(b"index");
        let check = |pin: &str, expect: bool| {
            let app: Reference = "r.example/app".parse().unwrap();
            let image = Image {
                digests: vec![app.pinned(index)],
                ..of(&["busybox", "r.example/app:1"], "")
            };
            let pins = ["registry.example/pause", pin].map(|pin| pin.parse().unwrap());
            assert_eq!(super::image(&image, &pins).pinned, expect, "{pin}");
        };
        check("busybox", true);
        check("docker.io/library/busybox:latest", true);
        check("r.example/app:1", true);
        check("r.example/app:2", false);
        check("r.example/app", false);
        check(&format!("r.example/app@{index}"), true);
        check(&format!("r.example/app:1@{index}"), true);
        check(&format!("r.example/app:1@{manifest}"), false);
        check(&format!("busybox@{manifest}"), true);
        check(&format!("r.example/other@{index}"), false);
    }

    #[test]
    fn image_without_a_manifest_has_no_digest() {
        let id = Digest::of(b"configuration");
        let image = Image {
            digest: id,
            ..of(&["busybox"], "")
        };
        assert_eq!(super::image(&image, &[]).repo_digests, Vec::<String>::new());
        let names = image_names(&image);
        assert_eq!(names.reference, id.to_string());
        assert_eq!(names.name, "docker.io/library/busybox:latest");
    }

    #[test]
    fn image_without_a_name_is_called_by_its_id() {
        let names = image_names(&of(&[], ""));
        assert_eq!(names.name, names.id);
        assert_eq!(names.reference, names.id);
    }

    #[test]
    fn users_are_numbers_or_names() {
        let check = |user: &str, uid: Option<i64>, username: &str| {
            let image = image(&of(&[], user), &[]);
            assert_eq!(image.uid.map(|uid| uid.value), uid, "{user}");
            assert_eq!(image.username, username, "{user}");
        };
        check("", Some(0), "");
        check("0", Some(0), "");
        check("1002", Some(1002), "");
        check("1003:1004", Some(1003), "");
        check("www-data", None, "www-data");
        check("www-data:1004", None, "www-data");
    }
}
