//! From a path of the host to a mount in the agent's own mount namespace. Main type: [`HostMounts`]. Above: `volumes`.
//!
//! The agent's mounts are none of the host's, and what it sees of the host's may lag behind; so a path is looked up in the host's own namespace, and what is
//! mounted there is cloned and moved over. Links are followed as the host has them, once.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, open},
    io::Errno,
    mount::{
        MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, move_mount, open_tree,
    },
};

use crate::fault::Fault;

/// The host's mount namespace, which is another than the agent's.
#[derive(Debug)]
pub(crate) struct HostMounts(File);

/// Which later mounts are seen where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// None on either side.
    Private,
    /// The host's here.
    FromHost,
    /// All on both sides.
    Both,
}

/// A part of the host's tree, detached from it.
struct Tree {
    folder: bool,
    mount: OwnedFd,
}

impl HostMounts {
    pub(crate) fn new(theirs: File) -> Self {
        Self(theirs)
    }

    /// Has what `path` is on the host at `point`, which is made. A folder that is missing on the host is made there. Blocks.
    pub(crate) fn bring(
        &self,
        path: &Path,
        point: &Path,
        propagation: Propagation,
    ) -> Result<(), Fault> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Fault::not_found(format!("the host has no {path:?}: {error}"))
            }
            _ => Fault::internal_io(&format!("mount {path:?} of the host"), &error),
        };
        let tree = self.visit(|| clone(path)).map_err(failed)?;
        attach(&tree, point).map_err(failed)?;
        let kind = match propagation {
            Propagation::Both => return check_propagates(path, point, "shared:"),
            Propagation::FromHost => MountPropagationFlags::DOWNSTREAM,
            Propagation::Private => MountPropagationFlags::PRIVATE,
        };
        mount_change(point, kind | MountPropagationFlags::REC)
            .map_err(|errno| failed(errno.into()))?;
        match propagation {
            Propagation::FromHost => check_propagates(path, point, "master:"),
            _ => Ok(()),
        }
    }

    /// Does something in the host's mount namespace, on a thread that ends with it: none of ours shall see another root.
    fn visit<T: Send>(&self, deed: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let visit = move || {
                // A thread can only change its root when it shares it with no other.
                unshare(CloneFlags::CLONE_FS)?;
                setns(&self.0, CloneFlags::CLONE_NEWNS)?;
                deed()
            };
            let visitor = thread::Builder::new()
                .name("host-mounts".to_owned())
                .spawn_scoped(scope, visit)?;
            let panicked = |_| Err(io::Error::other("the visiting thread panicked"));
            visitor.join().unwrap_or_else(panicked)
        })
    }
}

/// With all that is mounted below it. The clone is a peer of what it was cloned from, if that is shared.
fn clone(path: &Path) -> io::Result<Tree> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            fs::create_dir_all(path)?;
            open(path, flags, Mode::empty())?
        }
        place => place?,
    };
    let kind = FileType::from_raw_mode(fstat(&place)?.st_mode);
    let recursive = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(Tree {
        folder: kind == FileType::Directory,
        mount: open_tree(&place, "", recursive)?,
    })
}

fn attach(tree: &Tree, point: &Path) -> io::Result<()> {
    match tree.folder {
        true => fs::create_dir(point)?,
        false => drop(File::create_new(point)?),
    }
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(&tree.mount, "", CWD, point, by_descriptor)?)
}

/// Without it mounts would stay where they are made, in silence.
fn check_propagates(path: &Path, point: &Path, field: &str) -> Result<(), Fault> {
    let table = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Fault::internal_io("read the agent's mounts", &error))?;
    if has_field(&table, point, field) {
        return Ok(());
    }
    Err(Fault::precondition(format!(
        "{path:?} is on a mount that the host does not share, so mounts would not propagate; `mount --make-rshared` it"
    )))
}

/// By proc_pid_mountinfo(5): the optional fields stand between the sixth and a dash. The last mount at a place is the one that is seen.
fn has_field(table: &str, point: &Path, field: &str) -> bool {
    let here = table.lines().rev().find(|line| {
        let place = line.split(' ').nth(4);
        place.is_some_and(|place| Path::new(place) == point)
    });
    here.is_some_and(|line| {
        let mut fields = line.split(' ').skip(6).take_while(|word| *word != "-");
        fields.any(|word| word.starts_with(field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:1 / / rw,relatime master:1 - ext4 /dev/vda1 rw
40 22 254:1 /a /run/p/mounts/0 rw,relatime shared:7 master:1 - ext4 /dev/vda1 rw
41 22 254:1 /b /run/p/mounts/1 rw,relatime master:1 - ext4 /dev/vda1 rw
42 22 254:1 /c /run/p/mounts/2 rw,relatime shared:8 - ext4 /dev/vda1 rw
43 42 254:1 /d /run/p/mounts/2 rw,relatime - ext4 /dev/vda1 rw
";

    #[test]
    fn mount_table_says_how_a_mount_propagates() {
        let check = |place: &str, shared, master| {
            let place = Path::new(place);
            let found = ["shared:", "master:"].map(|field| has_field(TABLE, place, field));
            assert_eq!(found, [shared, master], "{place:?}");
        };
        check("/run/p/mounts/0", true, true);
        check("/run/p/mounts/1", false, true);
        // Something else is mounted over it.
        check("/run/p/mounts/2", false, false);
        check("/run/p/mounts/3", false, false);
        check("/", false, true);
    }
}
