//! The folder of one case, and short words for what cases do in it. Main type: [`Place`].

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, linkat, mkdirat,
    openat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::{Errno, Result, pread, pwrite};

/// A folder that is open, and where it is.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    folder: OwnedFd,
}

impl Place {
    pub(super) fn at(path: &Path) -> Result<Place> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Place {
            path: path.to_owned(),
            folder: openat(CWD, path, flags, Mode::empty())?,
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    pub(super) fn open(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        self.create(name, flags, 0o644)
    }

    pub(super) fn create(&self, name: &str, flags: OFlags, mode: u32) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        openat(&self.folder, name, flags, Mode::from_raw_mode(mode))
    }

    /// A new file with this in it, open for reading and writing.
    pub(super) fn make(&self, name: &str, content: &[u8]) -> Result<OwnedFd> {
        let file = self.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        write_at(&file, content, 0)?;
        Ok(file)
    }

    pub(super) fn make_folder(&self, name: &str, mode: u32) -> Result<()> {
        mkdirat(&self.folder, name, Mode::from_raw_mode(mode))?;
        // Of the set-user-ID, set-group-ID and sticky bits mkdir(2) knows the last alone.
        self.chmod(name, mode)
    }

    pub(super) fn stat(&self, name: &str) -> Result<Stat> {
        statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Type, mode, owner and links in one word.
    pub(super) fn about(&self, name: &str) -> Result<String> {
        self.stat(name).map(|stat| shown(&stat))
    }

    pub(super) fn mode(&self, name: &str) -> Result<String> {
        let stat = self.stat(name)?;
        Ok(format!("{:o}", stat.st_mode & 0o7777))
    }

    pub(super) fn owner(&self, name: &str) -> Result<String> {
        let stat = self.stat(name)?;
        Ok(format!("{}:{}", stat.st_uid, stat.st_gid))
    }

    pub(super) fn read(&self, name: &str) -> Result<String> {
        read_all(&self.open(name, OFlags::RDONLY)?)
    }

    pub(super) fn chmod(&self, name: &str, mode: u32) -> Result<()> {
        chmodat(
            &self.folder,
            name,
            Mode::from_raw_mode(mode),
            AtFlags::empty(),
        )
    }

    pub(super) fn chown(&self, name: &str, owner: Option<u32>, group: Option<u32>) -> Result<()> {
        let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
        chownat(&self.folder, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn link(&self, old: &str, new: &str) -> Result<()> {
        linkat(&self.folder, old, &self.folder, new, AtFlags::empty())
    }

    pub(super) fn symlink(&self, target: &str, name: &str) -> Result<()> {
        symlinkat(target, &self.folder, name)
    }

    pub(super) fn rename(&self, old: &str, new: &str) -> Result<()> {
        renameat(&self.folder, old, &self.folder, new)
    }

    pub(super) fn unlink(&self, name: &str) -> Result<()> {
        unlinkat(&self.folder, name, AtFlags::empty())
    }

    pub(super) fn rmdir(&self, name: &str) -> Result<()> {
        unlinkat(&self.folder, name, AtFlags::REMOVEDIR)
    }

    /// The names in a folder, without those of itself and its parent, sorted.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<CString>> {
        let folder = self.open(folder, OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::new(folder)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// What an open file is, as [`Place::about`] says it.
pub(super) fn about(file: &OwnedFd) -> Result<String> {
    fstat(file).map(|stat| shown(&stat))
}

fn shown(stat: &Stat) -> String {
    let Stat {
        st_mode,
        st_uid,
        st_gid,
        st_nlink,
        ..
    } = stat;
    format!("{st_mode:o},{st_uid}:{st_gid},{st_nlink}")
}

pub(super) fn size(file: &OwnedFd) -> Result<i64> {
    fstat(file).map(|stat| stat.st_size)
}

/// All of it.
pub(super) fn write_at(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = pwrite(file, bytes, at)?;
        let Some(rest) = bytes.get(written..).filter(|_rest| written > 0) else {
            return Err(Errno::IO);
        };
        (bytes, at) = (rest, at + written as u64);
    }
    Ok(())
}

/// A file's beginning as text, with a dot for what is none.
pub(super) fn read_all(file: &OwnedFd) -> Result<String> {
    read_at(file, 4096, 0)
}

/// One read as text.
pub(super) fn read_at(file: &OwnedFd, most: usize, at: u64) -> Result<String> {
    let mut bytes = vec![0; most];
    let length = pread(file, &mut bytes[..], at)?;
    bytes.truncate(length);
    let shown = bytes.iter().map(|byte| match byte {
        b'!'..=b'~' => char::from(*byte),
        _ => '.',
    });
    Ok(shown.collect())
}
