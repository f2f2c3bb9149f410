//! What a container mounts: the one place that decides it. Main function: [`check_mounts`].
//!
//! kubelet mounts into every container: `/etc/hosts` (a file of its own), `/dev/termination-log` (a file that it reads when the container
//! has ended), and mostly the service account's token at `/var/run/secrets/kubernetes.io/serviceaccount` (a folder whose links are
//! switched while the container runs); then the pod's volumes. None of them can be in a guest yet, because a guest sees no host folder.
//! A container without its mounts would run with other files than it was promised, so it is refused, by the mount's name.

use cri::v1::{Mount, MountPropagation};

use super::refusal::Refusal;

/// Refuses what can't be mounted. What can never be right is said first.
pub(super) fn check_mounts(mounts: &[Mount]) -> Result<(), Refusal> {
    for mount in mounts {
        check_form(mount)?;
    }
    match mounts.first() {
        None => Ok(()),
        Some(mount) => Err(Refusal::unimplemented(format!(
            "the mount of {} at {:?} can't be made: this build brings no host paths and no image volumes into a VM",
            source(mount),
            mount.container_path
        ))),
    }
}

fn check_form(mount: &Mount) -> Result<(), Refusal> {
    let at = &mount.container_path;
    if !at.starts_with('/') {
        let text = format!("the mount at {at:?}: container_path is not absolute");
        return Err(Refusal::invalid(text));
    }
    let of_image = mount.image.is_some();
    if of_image && !mount.readonly {
        let text = format!("the mount at {at:?}: an image is mounted read-only, say so");
        return Err(Refusal::invalid(text));
    }
    if !of_image && !mount.host_path.starts_with('/') {
        let text = format!("the mount at {at:?}: host_path is not absolute");
        return Err(Refusal::invalid(text));
    }
    let private = mount.propagation() == MountPropagation::PropagationPrivate;
    if mount.recursive_read_only && !(mount.readonly && private) {
        return Err(Refusal::invalid(format!(
            "the mount at {at:?}: recursive_read_only needs readonly, and no propagation"
        )));
    }
    Ok(())
}

fn source(mount: &Mount) -> String {
    match &mount.image {
        Some(image) => format!("image {:?}", image.image),
        None => format!("{:?}", mount.host_path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(container_path: &str, host_path: &str) -> Mount {
        Mount {
            container_path: container_path.to_owned(),
            host_path: host_path.to_owned(),
            ..Mount::default()
        }
    }

    fn check(mounts: &[Mount], invalid: bool, words: &str) {
        let refusal = check_mounts(mounts).unwrap_err();
        assert_eq!(
            matches!(refusal, Refusal::Invalid(_)),
            invalid,
            "{refusal:?}"
        );
        assert!(refusal.to_string().contains(words), "{refusal}");
    }

    #[test]
    fn container_without_mounts_is_good() {
        check_mounts(&[]).unwrap();
    }

    #[test]
    fn mounts_that_can_never_be_right_are_invalid() {
        check(&[mount("etc", "/etc")], true, "container_path");
        check(&[mount("/etc", "etc")], true, "host_path");
        let recursive = |readonly, propagation| Mount {
            recursive_read_only: true,
            readonly,
            propagation,
            ..mount("/a", "/b")
        };
        check(&[recursive(false, 0)], true, "needs readonly");
        check(&[recursive(true, 1)], true, "no propagation");
        check(&[recursive(true, 2)], true, "no propagation");
        let image = Mount {
            image: Some(cri::v1::ImageSpec::default()),
            ..mount("/a", "")
        };
        check(&[image], true, "read-only");
        // Also behind one that is only not possible.
        check(&[mount("/a", "/b"), mount("c", "/d")], true, "\"c\"");
    }

    #[test]
    fn mounts_that_this_build_cannot_make_are_named() {
        let mounts = [mount("/etc/hosts", "/var/lib/kubelet/pods/u/etc-hosts")];
        check(
            &mounts,
            false,
            "\"/var/lib/kubelet/pods/u/etc-hosts\" at \"/etc/hosts\"",
        );
    }
}
