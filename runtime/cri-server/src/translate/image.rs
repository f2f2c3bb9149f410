//! An image as CRI says it. Main functions: [`image`], and [`image_names`] for the containers that are made from it.

use std::collections::BTreeSet;

use cri::v1::{Image as CriImage, Int64Value};
use images::{Image, Reference};

use crate::note::ImageNames;

/// One image.
pub(crate) fn image(image: &Image) -> CriImage {
    let settings = image.config.config().clone().unwrap_or_default();
    let (uid, username) = user(settings.user().as_deref().unwrap_or_default());
    CriImage {
        id: image.id.to_string(),
        repo_tags: repo_tags(image),
        repo_digests: repo_digests(image),
        size: image.size,
        uid,
        username,
        spec: None,
        pinned: false,
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

/// Whole names with a tag. A name with a digest too is one by digest.
fn repo_tags(image: &Image) -> Vec<String> {
    let tagged = image.names.iter().filter(|name| name.digest().is_none());
    tagged.map(ToString::to_string).collect()
}

/// `repository@digest`: the digest that the image was asked for by, which is that of an index where there was one; the manifest's for a
/// repository of which only tags are known. An image without a manifest (of `docker save`) has none.
fn repo_digests(image: &Image) -> Vec<String> {
    let repository = |name: &Reference| format!("{}/{}", name.host(), name.path());
    let asked: BTreeSet<_> = image
        .names
        .iter()
        .filter_map(|name| Some((repository(name), name.digest()?)))
        .collect();
    let mut all = asked.clone();
    if image.digest != image.id {
        let named = image.names.iter().map(repository);
        let known = |repository: &String| asked.iter().any(|(asked, _)| asked == repository);
        let rest = named.filter(|repository| !known(repository));
        all.extend(rest.map(|repository| (repository, image.digest)));
    }
    all.iter()
        .map(|(repository, digest)| format!("{repository}@{digest}"))
        .collect()
}

/// A number, or a name: the part before the colon. No user is root.
fn user(text: &str) -> (Option<Int64Value>, String) {
    let user = text.split(':').next().unwrap_or_default();
    if user.is_empty() {
        return (Some(Int64Value { value: 0 }), String::new());
    }
    match user.parse::<u32>() {
        Ok(id) => (Some(Int64Value { value: id.into() }), String::new()),
        Err(_name) => (None, user.to_owned()),
    }
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
        let check = |names: &[&str], tags: &[&str], digests: &[String]| {
            let image = image(&of(names, ""));
            assert_eq!(image.repo_tags, tags);
            assert_eq!(image.repo_digests, digests);
        };
        let busybox = "docker.io/library/busybox";
        check(&[], &[], &[]);
        check(
            &["busybox", "busybox:1"],
            &[
                "docker.io/library/busybox:latest",
                "docker.io/library/busybox:1",
            ],
            &[format!("{busybox}@{manifest}")],
        );
        let by_digest = format!("busybox@{index}");
        check(&[&by_digest], &[], &[format!("{busybox}@{index}")]);
        check(
            &[&by_digest, "busybox:1", "r.example/b"],
            &["docker.io/library/busybox:1", "r.example/b:latest"],
            &[
                format!("{busybox}@{index}"),
                format!("r.example/b@{manifest}"),
            ],
        );
    }

    #[test]
    fn image_without_a_manifest_has_no_digest() {
        let id = Digest::of(b"configuration");
        let image = Image {
            digest: id,
            ..of(&["busybox"], "")
        };
        assert_eq!(super::image(&image).repo_digests, Vec::<String>::new());
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
            let image = image(&of(&[], user));
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
