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
    mount::mount_bind,
};

use super::{Volumes, failed, tree};
use crate::{
    fault::{Fault, FaultKind},
    ids::VolumeId,
};

const STAY_INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Mounts of one container.
const MOST_MOUNTS: usize = 1024;

/// A checked `VolumeMount`.
#[derive(Debug)]
pub(crate) struct VolumeMount {
    volume: VolumeId,
    sub_path: PathBuf,
    make_sub_path: bool,
    destination: PathBuf,
    options: Vec<&'static str>,
    map_owners: bool,
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
        let destination = PathBuf::from(&mount.destination);
        let has_parent = destination
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        if !destination.is_absolute() || has_parent || destination.parent().is_none() {
            return Err(Fault::invalid(format!(
                "nothing can be mounted at {:?}: it is to be an absolute path without .., and not the root",
                mount.destination
            )));
        }
        if mount.recursive_read_only && !mount.read_only {
            return Err(Fault::invalid(format!(
                "the mount at {:?} is recursive_read_only and not read_only",
                mount.destination
            )));
        }
        let propagation = if mount.receives_mounts {
            "rslave"
        } else {
            "rprivate"
        };
        let mut options = vec!["rbind", propagation];
        options.push(if mount.read_only { "ro" } else { "rw" });
        options.extend(mount.recursive_read_only.then_some("rro"));
        Ok(Self {
            volume: VolumeId::parse(&mount.volume_id)?,
            sub_path: tree::checked_path(&mount.sub_path)?,
            make_sub_path: mount.make_sub_path,
            destination,
            options,
            map_owners: mount.map_owners,
        })
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
        let content = self.content(&mount.volume)?;
        let place = |source| VolumeSource {
            source,
            destination: mount.destination.clone(),
            options: mount.options.clone(),
        };
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
        if mount.sub_path.as_os_str().is_empty() {
            if user.is_none() {
                return Ok(place(content));
            }
            // The namespace's root can't go through the agent's folders to a volume.
            let attempt = format!("hold volume {}", mount.volume);
            let found = rustix::fs::open(&content, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let found = found.map_err(|errno| failed(&attempt)(errno.into()))?;
            let point = hold(&found, &folder.mounts(), number, mapped_by);
            return Ok(place(point.map_err(failed(&attempt))?));
        }
        let missing = || {
            Fault::new(
                FaultKind::NotFound,
                format!("volume {} has no {:?}", mount.volume, mount.sub_path),
            )
        };
        let attempt = format!("open {:?} of volume {}", mount.sub_path, mount.volume);
        if mount.make_sub_path {
            make_folders(&content, &mount.sub_path).map_err(failed(&attempt))?;
        }
        let found = resolve(&content, &mount.sub_path).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => missing(),
            errno => failed(&attempt)(errno.into()),
        })?;
        let point = hold(&found, &folder.mounts(), number, mapped_by).map_err(failed(&attempt))?;
        Ok(place(point))
    }
}

fn resolve(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
    openat2(&root, path, flags, Mode::empty(), STAY_INSIDE)
}

/// Mounts what is open as one more of `folder`.
fn hold(
    found: &OwnedFd,
    folder: &Path,
    number: usize,
    mapped_by: Option<&UserNamespace>,
) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let point = folder.join(number.to_string());
    match FileType::from_raw_mode(fstat(found)?.st_mode) {
        FileType::Directory => fs::create_dir(&point)?,
        FileType::RegularFile => drop(File::create_new(&point)?),
        _ => return Err(io::Error::other("it is no folder and no regular file")),
    }
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    match mapped_by {
        Some(user) => container::map_owners(Path::new(&source), &point, user)?,
        None => mount_bind(source.as_str(), &point)?,
    }
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
        super::mount::unmount(&entry?.path())?;
    }
    Ok(())
}
