//! What the host has at the paths that a container wants to mount. Main function: [`look`], which only looks; `translate::volumes` decides. Main
//! type: [`HostMount`].

use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use pod::SocketKind;
use tonic::Status;

use crate::failure;

/// The type of file systems whose files are huge pages (linux/magic.h).
const HUGETLBFS: i64 = 0x9584_58f6;

/// What is at a path, once its links have been followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostMount {
    /// Without links; as asked for when nothing is there.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// What is mounted exactly there.
    pub(crate) mounted: Option<Mounted>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Missing,
    File,
    Folder {
        /// With a link `..data` in it.
        data: bool,
    },
    /// A folder of a hugetlbfs.
    HugePages {
        page_bytes: u64,
    },
    /// A file of one.
    HugeFile,
    Socket(SocketKind),
    Pipe,
    CharacterDevice,
    BlockDevice,
}

/// A mount of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// What of its file system it shows: / for all of it.
    pub(crate) root: PathBuf,
    /// Where all of its file system is mounted, if somewhere.
    pub(crate) whole: Option<PathBuf>,
    /// For a tmpfs: its size, in bytes.
    pub(crate) tmpfs_bytes: Option<u64>,
}

/// Looks. Blocks.
pub(crate) fn look(host_path: &str) -> Result<HostMount, Status> {
    let asked = Path::new(host_path);
    look_at(asked).map_err(|error| failure::host_path(host_path, "a mount", &error))
}

fn look_at(asked: &Path) -> io::Result<HostMount> {
    let path = match fs::canonicalize(asked) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(HostMount {
                path: asked.to_owned(),
                kind: Kind::Missing,
                mounted: None,
            });
        }
        path => path?,
    };
    let kind = kind(&path)?;
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounted = mounted_at(&table, &path);
    if let Some((mounted, true)) = &mut mounted {
        let about = rustix::fs::statvfs(&path)?;
        mounted.tmpfs_bytes = Some(about.f_blocks.saturating_mul(about.f_frsize));
    }
    Ok(HostMount {
        path,
        kind,
        mounted: mounted.map(|(mounted, _is_tmpfs)| mounted),
    })
}

fn kind(path: &Path) -> io::Result<Kind> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() || kind.is_file() {
        let about = rustix::fs::statfs(path)?;
        if about.f_type == HUGETLBFS {
            let page_bytes = u64::try_from(about.f_bsize).map_err(io::Error::other)?;
            return Ok(match kind.is_dir() {
                true => Kind::HugePages { page_bytes },
                false => Kind::HugeFile,
            });
        }
    }
    Ok(if kind.is_dir() {
        let data = fs::symlink_metadata(path.join("..data"));
        Kind::Folder {
            data: data.is_ok_and(|about| about.is_symlink()),
        }
    } else if kind.is_file() {
        Kind::File
    } else if kind.is_socket() {
        Kind::Socket(pod::socket_kind(path).map_err(io::Error::other)?)
    } else if kind.is_fifo() {
        Kind::Pipe
    } else if kind.is_block_device() {
        Kind::BlockDevice
    } else {
        Kind::CharacterDevice
    })
}

/// One line of proc_pid_mountinfo(5).
struct Line<'a> {
    device: &'a str,
    root: PathBuf,
    point: PathBuf,
    file_system: &'a str,
}

/// The last mount at `path`, and whether it is a tmpfs. The table is that of proc_pid_mountinfo(5).
fn mounted_at(table: &str, path: &Path) -> Option<(Mounted, bool)> {
    let lines: Vec<Line<'_>> = table.lines().filter_map(Line::parse).collect();
    let here = lines.iter().rev().find(|line| line.point == path)?;
    let whole = lines
        .iter()
        .find(|line| line.device == here.device && line.root == Path::new("/"));
    let mounted = Mounted {
        root: here.root.clone(),
        whole: whole.map(|line| line.point.clone()),
        tmpfs_bytes: None,
    };
    Some((mounted, here.file_system == "tmpfs"))
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let device = fields.next()?;
        Some(Self {
            device,
            root: unescaped(fields.next()?),
            point: unescaped(fields.next()?),
            file_system: source.split(' ').next()?,
        })
    }
}

/// Space, tab, newline and backslash are octal numbers there.
fn unescaped(field: &str) -> PathBuf {
    let octal = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n")];
    let plain = octal
        .iter()
        .fold(field.to_owned(), |text, (number, plain)| {
            text.replace(number, plain)
        });
    plain.replace("\\134", "\\").into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    const TABLE: &str = "\
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
40 22 0:50 / /pods/u/volumes/kubernetes.io~empty-dir/a\\040b rw - tmpfs tmpfs rw,size=8k
41 22 0:50 /sub /pods/u/volume-subpaths/a/main/0 rw - tmpfs tmpfs rw
42 22 254:1 /pods/u/cm /pods/u/volume-subpaths/cm/main/0 rw shared:1 - ext4 /dev/vda1 rw
43 22 0:60 /only /mnt rw - tmpfs tmpfs rw
broken
";

    fn check(path: &str, root: &str, whole: Option<&str>, tmpfs: bool) {
        let (mounted, is_tmpfs) = mounted_at(TABLE, Path::new(path)).unwrap();
        let whole = whole.map(PathBuf::from);
        assert_eq!(
            (mounted.root, mounted.whole, is_tmpfs),
            (PathBuf::from(root), whole, tmpfs)
        );
    }

    #[test]
    fn mount_table_says_what_is_mounted_at_a_path() {
        let memory = "/pods/u/volumes/kubernetes.io~empty-dir/a b";
        check(memory, "/", Some(memory), true);
        check(
            "/pods/u/volume-subpaths/a/main/0",
            "/sub",
            Some(memory),
            true,
        );
        let map = "/pods/u/volume-subpaths/cm/main/0";
        check(map, "/pods/u/cm", Some("/"), false);
        check("/mnt", "/only", None, true);
        assert_eq!(mounted_at(TABLE, Path::new("/pods")), None);
    }

    #[test]
    fn kinds_are_told_apart_and_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        fs::write(path.join("file"), "").unwrap();
        fs::create_dir(path.join("map")).unwrap();
        symlink("..1", path.join("map/..data")).unwrap();
        symlink("map", path.join("link")).unwrap();
        symlink("nowhere", path.join("broken")).unwrap();
        let _socket = UnixListener::bind(path.join("socket")).unwrap();
        let check = |name: &str, leads_to: &str, kind: Kind| {
            let found = look_at(&path.join(name)).unwrap();
            assert_eq!((found.path, found.kind), (path.join(leads_to), kind));
            assert_eq!(found.mounted, None);
        };
        check("file", "file", Kind::File);
        check("link", "map", Kind::Folder { data: true });
        let stream = Kind::Socket(SocketKind::Stream);
        check("socket", "socket", stream);
        check("broken", "broken", Kind::Missing);
        check("gone/deep", "gone/deep", Kind::Missing);
        let null = look_at(Path::new("/dev/null")).unwrap();
        assert_eq!(null.kind, Kind::CharacterDevice);
        assert_eq!(
            look("a\0b").unwrap_err().code(),
            tonic::Code::InvalidArgument
        );
    }
}
