//! What a container mounts: the one place that decides it. Main functions: [`check_mounts`], by the request alone, and [`mounts`], by what the host has at
//! the paths (`host_mounts`).
//!
//! The kubelet mounts into every container `/etc/hosts` (a file of its own), the termination log (a file that it reads when the container has
//! ended), and mostly a token (a folder whose links are switched while the container runs); then the pod's volumes. What is the
//! kubelet's own and small is copied; what the node's programs work on, too, would have to be shared. A container on the node has all of it itself.

use std::path::{Component, Path, PathBuf};

use cri::v1::{ContainerConfig, Mount, MountPropagation};
use model::{HostVolume, HugePages, UserNamespace};
use pod::SocketKind;

use super::{
    huge_pages, pod_kind::PodKind, refusal::Refusal, storage, user_namespace::maps_owners,
};
use crate::{
    host_mounts::{HostMount, Kind},
    note::Sandbox,
};

/// Where the kubelet says in which file it expects a container's last words.
const TERMINATION_LOG_ANNOTATION: &str = "io.kubernetes.container.terminationMessagePath";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Folders of a pod's volumes that the kubelet fills and replaces as a whole, as they are called in its pods' folders.
const COPIED_VOLUMES: [&str; 4] = [
    "kubernetes.io~configmap",
    "kubernetes.io~secret",
    "kubernetes.io~projected",
    "kubernetes.io~downward-api",
];
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";

const NOT_SHARED: &str = "huge pages of the node are not a VM's memory (hugetlbfs); use an emptyDir of medium HugePages, or run the pod on the node";

/// Whose container mounts something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    pub(crate) sandbox: &'a Sandbox,
    /// The node's, if it has one.
    pub(crate) disk_template: Option<&'a Path>,
}

/// A mount, decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlannedMount {
    pub(crate) mount: model::Mount,
    pub(crate) source: PlannedSource,
}

/// What is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PlannedSource {
    Host(HostVolume),
    Image {
        /// As it was asked for.
        image: String,
        /// Empty is all of it.
        sub_path: String,
    },
}

/// Refuses what can never be right, and what no pod of this kind can have. `user` is the pod's user namespace.
pub(super) fn check_mounts(
    mounts: &[Mount],
    (kind, user): (PodKind, Option<&UserNamespace>),
) -> Result<(), Refusal> {
    mounts.iter().try_for_each(check_form)?;
    let mut mapped = mounts.iter().map(|mount| maps_owners(mount, user));
    mapped.try_for_each(|maps| maps.map(|_checked| ()))?;
    let user_namespace = user.is_some();
    mounts
        .iter()
        .try_for_each(|mount| check_bidirectional(mount, kind, user_namespace))
}

/// Decides. `found` is what the host has, in the order of the mounts, without those of images. An outer mount comes before those below it.
pub(crate) fn mounts(
    config: &ContainerConfig,
    found: Vec<HostMount>,
    pod: &Pod<'_>,
) -> Result<Vec<PlannedMount>, Refusal> {
    let mut found = found.into_iter();
    let mut planned = Vec::new();
    for mount in &config.mounts {
        let source = match &mount.image {
            Some(image) => PlannedSource::Image {
                image: image.image.clone(),
                sub_path: mount.image_sub_path.clone(),
            },
            None => {
                let found = found.next();
                let found = found.ok_or_else(|| Refusal::invalid("a mount was not looked at"))?;
                PlannedSource::Host(match pod.sandbox.kind {
                    PodKind::Vm => host_volume((config, pod), mount, found)?,
                    PodKind::Host => HostVolume::Bind { path: found.path },
                })
            }
        };
        let mount = model::Mount {
            destination: mount.container_path.clone(),
            read_only: mount.readonly,
            recursive_read_only: mount.recursive_read_only,
            receives_mounts: mount.propagation() == MountPropagation::PropagationHostToContainer,
            // They have been checked, and there are both or none.
            map_owners: !mount.uid_mappings.is_empty(),
            shares_mounts: mount.propagation() == MountPropagation::PropagationBidirectional,
        };
        planned.push(PlannedMount { mount, source });
    }
    planned.sort_by_key(|planned| Path::new(&planned.mount.destination).components().count());
    Ok(planned)
}

fn check_form(mount: &Mount) -> Result<(), Refusal> {
    let at = &mount.container_path;
    let wrong = |what: &str| Err(Refusal::invalid(format!("the mount at {at:?}: {what}")));
    let container_path = Path::new(at);
    if !container_path.is_absolute() {
        return wrong("container_path is not absolute");
    }
    if has_parent(container_path) || container_path.parent().is_none() {
        return wrong("container_path has a .., or is the root");
    }
    if let Some(image) = &mount.image {
        if !mount.readonly {
            return wrong("an image is mounted read-only, say so");
        }
        if image.image.is_empty() || !mount.host_path.is_empty() {
            return wrong("an image is mounted by its name, and without a host_path");
        }
        let sub_path = Path::new(&mount.image_sub_path);
        if sub_path.is_absolute() || has_parent(sub_path) {
            return wrong("image_sub_path is not relative, or has a ..");
        }
    } else if !mount.host_path.starts_with('/') {
        return wrong("host_path is not absolute");
    } else if !mount.image_sub_path.is_empty() {
        return wrong("image_sub_path is for images");
    }
    let private = mount.propagation() == MountPropagation::PropagationPrivate;
    if mount.recursive_read_only && !(mount.readonly && private) {
        return wrong("recursive_read_only needs readonly, and no propagation");
    }
    Ok(())
}

/// What is wrong with it whatever the node has there.
fn check_bidirectional(mount: &Mount, kind: PodKind, user_namespace: bool) -> Result<(), Refusal> {
    if mount.propagation() != MountPropagation::PropagationBidirectional {
        return Ok(());
    }
    if mount.image.is_some() {
        let why = "nothing can be mounted in an image for others (propagation BIDIRECTIONAL)";
        return Err(impossible(mount, why));
    }
    if kind == PodKind::Vm && user_namespace {
        let why = "what a container in a user namespace mounts is its own (propagation BIDIRECTIONAL with hostUsers: false)";
        return Err(impossible(mount, why));
    }
    Ok(())
}

/// A VM's containers see each other's mounts in what is the pod's alone. Elsewhere such a mount is meant for the node, and would be missed there.
fn check_stays_in_vm(mount: &Mount, found: &HostMount) -> Result<(), Refusal> {
    let bidirectional = mount.propagation() == MountPropagation::PropagationBidirectional;
    if !bidirectional || is_empty_dir(found) {
        return Ok(());
    }
    let why = "what a container in a VM mounts can't be seen on the node (propagation BIDIRECTIONAL of what is no emptyDir); run the pod on the node";
    Err(impossible(mount, why))
}

fn host_volume(
    (config, pod): (&ContainerConfig, &Pod<'_>),
    mount: &Mount,
    found: HostMount,
) -> Result<HostVolume, Refusal> {
    let refuse = |what: &str| Err(impossible(mount, what));
    check_stays_in_vm(mount, &found)?;
    match found.kind {
        Kind::Socket(SocketKind::Stream) => Ok(HostVolume::Socket { path: found.path }),
        Kind::Socket(SocketKind::Datagram | SocketKind::SeqPacket) => refuse(
            "of the node's sockets only those for streams (SOCK_STREAM) can be reached from a VM",
        ),
        Kind::Pipe => refuse("a named pipe of the node can't be reached from a VM"),
        Kind::CharacterDevice => refuse("a device of the node can't be mounted in a VM"),
        Kind::BlockDevice => refuse("a block device is given as a device, not as a mount"),
        Kind::HugePages { page_bytes } => {
            let pages = pages_of_guest(&found, page_bytes, &pod.sandbox.huge_pages);
            pages.map_err(|why| impossible(mount, &why))
        }
        Kind::HugeFile => refuse(NOT_SHARED),
        Kind::File => Ok(file(config, mount, found)),
        Kind::Folder { data } => folder((mount, pod), data, &found),
        Kind::Missing => Ok(HostVolume::Share { path: found.path }),
    }
}

fn file(config: &ContainerConfig, mount: &Mount, found: HostMount) -> HostVolume {
    let said = config.annotations.get(TERMINATION_LOG_ANNOTATION);
    let termination_log = said.map_or(TERMINATION_LOG, String::as_str);
    let last_words = Path::new(&mount.container_path) == Path::new(termination_log);
    let copied = is_hosts_file(&found.path) || is_copied(&found);
    let path = found.path;
    if last_words && !mount.readonly {
        HostVolume::WrittenBack { path }
    } else if copied || last_words {
        HostVolume::Copy { path }
    } else {
        HostVolume::Share { path }
    }
}

fn folder(
    (mount, pod): (&Mount, &Pod<'_>),
    data: bool,
    found: &HostMount,
) -> Result<HostVolume, Refusal> {
    let path = found.path.clone();
    if data {
        return Ok(HostVolume::Files { path });
    }
    if is_copied(found) {
        return Ok(HostVolume::Copy { path });
    }
    if let Some(memory) = memory(found) {
        return Ok(memory);
    }
    if let Some(disk) = disk(mount, pod, found)? {
        return Ok(disk);
    }
    let alone = mount.propagation() != MountPropagation::PropagationPrivate && is_empty_dir(found);
    Ok(match alone {
        true => HostVolume::Own { path },
        false => HostVolume::Share { path },
    })
}

/// An emptyDir on disk, or a folder in it (subPath), that the sandbox's annotation makes a disk of the guest.
fn disk(mount: &Mount, pod: &Pod<'_>, found: &HostMount) -> Result<Option<HostVolume>, Refusal> {
    let Some((path, volume, sub_path)) = empty_dir(found) else {
        return Ok(None);
    };
    let annotations = &pod.sandbox.config.annotations;
    let Some(disk) = storage::empty_dir_disk(annotations, &volume)? else {
        return Ok(None);
    };
    let why = "it can't be a disk (cofferdam.empty-dir-disks) where writable layers lie in memory (container.writable_layer in the configuration)";
    let template = pod.disk_template.ok_or_else(|| impossible(mount, why))?;
    Ok(Some(HostVolume::Disk {
        path,
        template: template.to_owned(),
        limit_bytes: disk.limit_bytes,
        sub_path,
    }))
}

/// The folder of an emptyDir that is no mount, its name, and what of it was found: it is there, or mounted from there.
fn empty_dir(found: &HostMount) -> Option<(PathBuf, String, String)> {
    let mounted_from = || {
        let mounted = found.mounted.as_ref()?;
        let below = mounted.root.strip_prefix("/").ok()?;
        Some(mounted.whole.as_ref()?.join(below))
    };
    let there = match has_part(&found.path, EMPTY_DIR) {
        true => found.path.clone(),
        false => mounted_from()?,
    };
    let mut folder = PathBuf::new();
    let mut parts = there.iter();
    for part in parts.by_ref() {
        folder.push(part);
        if part == EMPTY_DIR {
            break;
        }
    }
    let name = parts.next()?;
    folder.push(name);
    let sub_path = parts.as_path().to_str()?.to_owned();
    Some((folder, name.to_str()?.to_owned(), sub_path))
}

/// An emptyDir of medium Memory, or a folder in it (subPath). Other tmpfs of the node are not for a pod alone.
fn memory(found: &HostMount) -> Option<HostVolume> {
    let bytes = found.mounted.as_ref()?.tmpfs_bytes?;
    let (path, sub_path) = whole_of_empty_dir(found)?;
    Some(HostVolume::Memory {
        path,
        bytes,
        sub_path,
    })
}

/// An emptyDir of medium HugePages, or a folder in it (subPath): pages of the guest, which has set them aside.
fn pages_of_guest(
    found: &HostMount,
    page_bytes: u64,
    set_aside: &[HugePages],
) -> Result<HostVolume, String> {
    let (path, sub_path) = whole_of_empty_dir(found).ok_or(NOT_SHARED)?;
    let pages = huge_pages::set_aside(set_aside, page_bytes).ok_or_else(|| {
        let size = huge_pages::name(page_bytes);
        format!(
            "the pod's VM has set no huge pages of {size} aside, for the pod had no limit on them when it started (hugepages-2Mi, hugepages-1Gi)"
        )
    })?;
    Ok(HostVolume::HugePages {
        path,
        pages,
        sub_path,
    })
}

/// Where all of an emptyDir that is a mount is, and what of it was found.
fn whole_of_empty_dir(found: &HostMount) -> Option<(PathBuf, String)> {
    let mounted = found.mounted.as_ref()?;
    let path = mounted.whole.clone()?;
    let sub_path = mounted.root.strip_prefix("/").ok()?.to_str()?.to_owned();
    has_part(&path, EMPTY_DIR).then_some((path, sub_path))
}

/// A folder that is the pod's alone, or something in it (subPath).
fn is_empty_dir(found: &HostMount) -> bool {
    let of_pod = |path: &Path| has_part(path, EMPTY_DIR);
    comes_from(found, of_pod)
}

/// The kubelet's `<root>/pods/<uid>/etc-hosts`.
fn is_hosts_file(path: &Path) -> bool {
    let mut parts = path.iter().rev();
    let file = parts.next();
    let pods = parts.nth(1);
    file.is_some_and(|name| name == "etc-hosts") && pods.is_some_and(|name| name == "pods")
}

/// Something in a volume that the kubelet fills: there, or mounted from there (subPath).
fn is_copied(found: &HostMount) -> bool {
    let of_kubelet = |path: &Path| COPIED_VOLUMES.iter().any(|name| has_part(path, name));
    comes_from(found, of_kubelet)
}

/// It is there, or mounted from there.
fn comes_from(found: &HostMount, there: impl Fn(&Path) -> bool) -> bool {
    let mounted_from = found.mounted.as_ref().is_some_and(|mounted| {
        there(&mounted.root) || mounted.whole.as_deref().is_some_and(&there)
    });
    mounted_from || there(&found.path)
}

fn has_part(path: &Path, name: &str) -> bool {
    path.iter().any(|part| part == name)
}

fn has_parent(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

fn impossible(mount: &Mount, why: &str) -> Refusal {
    Refusal::unimplemented(format!(
        "the mount of {} at {:?} can't be made: {why}",
        source(mount),
        mount.container_path
    ))
}

fn source(mount: &Mount) -> String {
    match &mount.image {
        Some(image) => format!("image {:?}", image.image),
        None => format!("{:?}", mount.host_path),
    }
}

#[cfg(test)]
mod tests;
