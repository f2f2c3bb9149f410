//! What a container sees of the pod's volumes: each mount of a request becomes a place in the agent's file system that a container can't
//! change any more. Main type: [`VolumeMount`]. Above: `start`.
//!
//! A path in a volume is resolved once, without leaving the volume (openat2(2), RESOLVE_IN_ROOT), and what it leads to is mounted into the container's
//! folder: from then on no container that writes to the volume can lead the mount elsewhere.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use agent::agent as wire;
use container::{Folder, UserNamespace, VolumeSource};
use rustix::{
    fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchown, fstat, mkdirat, openat2},
    io::Errno,
    mount::{MountPropagationFlags, mount_bind_recursive, mount_change},
};

use super::{Volumes, failed, swap, tree};
use crate::{
    destination,
    fault::{Fault, FaultKind},
    host_mounts::Propagation,
    ids::VolumeId,
};

const STAY_INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Mounts of one container.
const MOST_MOUNTS: usize = 1024;

/// A checked `VolumeMount`.
#[derive(Debug)]
pub(crate) struct VolumeMount {
    source: Source,
    destination: PathBuf,
    options: Vec<&'static str>,
    map_owners: bool,
}

/// What is mounted.
#[derive(Debug)]
enum Source {
    Volume {
        id: VolumeId,
        sub_path: PathBuf,
        make_sub_path: bool,
        propagation: Propagation,
    },
    Host {
        path: PathBuf,
        propagation: Propagation,
    },
}

/// Where what a container mounts is held, and for whom.
struct Place<'a> {
    number: usize,
    folder: &'a Folder,
    user: Option<&'a UserNamespace>,
    mapped_by: Option<&'a UserNamespace>,
}

impl Place<'_> {
    fn point(&self) -> PathBuf {
        self.folder.mounts().join(self.number.to_string())
    }
}

impl VolumeMount {
    pub(crate) fn parse_all(mounts: &[wire::VolumeMount]) -> Result<Vec<Self>, Fault> {
        if mounts.len() > MOST_MOUNTS {
            return Err(Fault::invalid(format!(
                "a container can't have more than {MOST_MOUNTS} mounts"
            )));
        }
        mounts.iter().map(Self::parse).collect()
    }

    fn parse(mount: &wire::VolumeMount) -> Result<Self, Fault> {
        let destination = destination::parse(&mount.destination, "a mount")?;
        if mount.recursive_read_only && !mount.read_only {
            return Err(Fault::invalid(format!(
                "the mount at {:?} is recursive_read_only and not read_only",
                mount.destination
            )));
        }
        let (propagation, option) = propagation(mount)?;
        let mut options = vec!["rbind", option];
        options.push(if mount.read_only { "ro" } else { "rw" });
        options.extend(mount.recursive_read_only.then_some("rro"));
        Ok(Self {
            source: Source::parse(mount, propagation)?,
            destination,
            options,
            map_owners: mount.map_owners,
        })
    }
}

impl Source {
    fn parse(mount: &wire::VolumeMount, propagation: Propagation) -> Result<Self, Fault> {
        let wrong = |what: &str| {
            Err(Fault::invalid(format!(
                "the mount at {:?} {what}",
                mount.destination
            )))
        };
        if mount.host_path.is_empty() {
            return Ok(Self::Volume {
                id: VolumeId::parse(&mount.volume_id)?,
                sub_path: tree::checked_path(&mount.sub_path)?,
                make_sub_path: mount.make_sub_path,
                propagation,
            });
        }
        if !mount.volume_id.is_empty() || !mount.sub_path.is_empty() {
            return wrong("is of a volume and of the host");
        }
        if !mount.host_path.starts_with('/') {
            return wrong("is of a host's path that is not absolute");
        }
        if mount.map_owners {
            return wrong("is of the host, whose owners are not mapped");
        }
        Ok(Self::Host {
            path: mount.host_path.clone().into(),
            propagation,
        })
    }
}

/// The same as OCI's option.
fn propagation(mount: &wire::VolumeMount) -> Result<(Propagation, &'static str), Fault> {
    match (mount.receives_mounts, mount.shares_mounts) {
        (false, false) => Ok((Propagation::Private, "rprivate")),
        (true, false) => Ok((Propagation::FromHost, "rslave")),
        (false, true) => Ok((Propagation::Both, "rshared")),
        (true, true) => Err(Fault::invalid(format!(
            "the mount at {:?} both receives and shares mounts; the second is the first, and more",
            mount.destination
        ))),
    }
}

impl Volumes {
    /// Finds what the mounts lead to, and keeps hold of it below the container's folder. Blocks.
    pub(crate) fn bind(
        &self,
        mounts: &[VolumeMount],
        folder: &Folder,
        user: Option<&UserNamespace>,
    ) -> Result<Vec<VolumeSource>, Fault> {
        let _turn = self.turn();
        let numbered = mounts.iter().enumerate();
        numbered
            .map(|(number, mount)| self.bind_one((number, mount), folder, user))
            .collect()
    }

    fn bind_one(
        &self,
        (number, mount): (usize, &VolumeMount),
        folder: &Folder,
        user: Option<&UserNamespace>,
    ) -> Result<VolumeSource, Fault> {
        let mapped_by = match (mount.map_owners, user) {
            (false, _) => None,
            (true, Some(user)) => Some(user),
            (true, None) => {
                return Err(Fault::precondition(format!(
                    "the owners of the mount at {} can't be mapped: the pod has no user namespace",
                    mount.destination.display()
                )));
            }
        };
        let place = Place {
            number,
            folder,
            user,
            mapped_by,
        };
        let source = match &mount.source {
            Source::Volume {
                id,
                sub_path,
                make_sub_path,
                propagation,
            } => {
                self.let_propagate(id, *propagation, &place)?;
                let found = self.find(id, (sub_path, *make_sub_path))?;
                hold(&found, *propagation, &place)
                    .map_err(failed(&format!("hold {sub_path:?} of volume {id}")))?
            }
            Source::Host { path, propagation } => self.bind_host(path, *propagation, &place)?,
        };
        Ok(VolumeSource {
            source,
            destination: mount.destination.clone(),
            options: mount.options.clone(),
        })
    }

    /// From the first mount on that propagates, the volume is one whose mounts do: each container's is then its peer, its slave, or neither.
    fn let_propagate(
        &self,
        id: &VolumeId,
        propagation: Propagation,
        place: &Place<'_>,
    ) -> Result<(), Fault> {
        if propagation == Propagation::Private {
            return Ok(());
        }
        if propagation == Propagation::Both && place.user.is_some() {
            // Its mount namespace belongs to the pod's user namespace: the kernel makes all of it slaves (mount_namespaces(7)).
            return Err(Fault::precondition(format!(
                "what a container mounts in volume {id} can't be seen outside it: the pod has a user namespace"
            )));
        }
        let content = self.content(id)?;
        match (swap::is_swapped(&content), propagation) {
            (false, _) => {}
            // Its tree is replaced by renames, which a mount of its own would be in the way of; and nobody mounts anything in it.
            (true, Propagation::FromHost) => return Ok(()),
            (true, _) => {
                return Err(Fault::precondition(format!(
                    "nothing can be mounted in volume {id} for others: its tree is replaced"
                )));
            }
        }
        super::mount::share_mounts(&content).map_err(failed(&format!(
            "let mounts in volume {id} be seen by all containers"
        )))
    }

    fn find(
        &self,
        id: &VolumeId,
        (sub_path, make_sub_path): (&Path, bool),
    ) -> Result<OwnedFd, Fault> {
        let content = self.content(id)?;
        let attempt = format!("open {sub_path:?} of volume {id}");
        if sub_path.as_os_str().is_empty() {
            let found = rustix::fs::open(&content, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            return found.map_err(|errno| failed(&attempt)(errno.into()));
        }
        let missing = || {
            Fault::new(
                FaultKind::NotFound,
                format!("volume {id} has no {sub_path:?}"),
            )
        };
        if make_sub_path {
            make_folders(&content, sub_path).map_err(failed(&attempt))?;
        }
        resolve(&content, sub_path).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => missing(),
            errno => failed(&attempt)(errno.into()),
        })
    }

    fn bind_host(
        &self,
        path: &Path,
        propagation: Propagation,
        place: &Place<'_>,
    ) -> Result<PathBuf, Fault> {
        let host = self.host.as_ref().ok_or_else(|| {
            Fault::invalid(format!(
                "{path:?} of the host can't be mounted: this agent has no mount namespace beside the host's"
            ))
        })?;
        fs::create_dir_all(place.folder.mounts()).map_err(failed("make a folder for mounts"))?;
        let point = place.point();
        host.bring(path, &point, propagation)?;
        Ok(point)
    }
}

fn resolve(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
    openat2(&root, path, flags, Mode::empty(), STAY_INSIDE)
}

/// Mounts what is open at its place, where its propagation is its own: libcontainer leaves a bind mount's as it finds it. And the root of a pod's user
/// namespace can't go through the agent's folders to a volume.
fn hold(found: &OwnedFd, propagation: Propagation, place: &Place<'_>) -> io::Result<PathBuf> {
    fs::create_dir_all(place.folder.mounts())?;
    let point = place.point();
    match FileType::from_raw_mode(fstat(found)?.st_mode) {
        FileType::Directory => fs::create_dir(&point)?,
        FileType::RegularFile | FileType::Socket => drop(File::create_new(&point)?),
        _ => {
            return Err(io::Error::other(
                "it is no folder, no regular file and no socket",
            ));
        }
    }
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    match place.mapped_by {
        Some(user) => container::map_owners(Path::new(&source), &point, user)?,
        None => mount_bind_recursive(source.as_str(), &point)?,
    }
    let kind = match propagation {
        // As the volume's.
        Propagation::Both => return Ok(point),
        Propagation::FromHost => MountPropagationFlags::DOWNSTREAM,
        Propagation::Private => MountPropagationFlags::PRIVATE,
    };
    mount_change(&point, kind | MountPropagationFlags::REC)?;
    Ok(point)
}

/// Those that are missing, with mode and owner of `root`.
fn make_folders(root: &Path, path: &Path) -> io::Result<()> {
    let about = fs::metadata(root)?;
    let mut so_far = PathBuf::new();
    for name in path {
        let parent = match so_far.as_os_str().is_empty() {
            true => resolve(root, Path::new("."))?,
            false => resolve(root, &so_far)?,
        };
        so_far.push(name);
        match mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
        fchown(
            &made,
            Some(Uid::from_raw(about.uid())),
            Some(Gid::from_raw(about.gid())),
        )?;
        rustix::fs::fchmod(&made, Mode::from_raw_mode(about.mode() & 0o7777))?;
    }
    Ok(())
}

/// Lets go of what [`Volumes::bind`] holds for a container. Idempotent. Blocks.
pub(crate) fn release(folder: &Folder) -> io::Result<()> {
    let entries = match fs::read_dir(folder.mounts()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        // Of what is shared with the host, a mount below it would be unmounted there, too.
        let alone = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        match mount_change(&path, alone) {
            // Not mounted (mount(2)).
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        super::mount::unmount(&path)?;
    }
    Ok(())
}
