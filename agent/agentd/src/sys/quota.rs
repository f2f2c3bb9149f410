//! Project quotas: quotactl(2) and ioctl_fsgetxattr(2), which rustix does not wrap. For any file system with the generic quota calls;
//! ours is XFS.
#![expect(
    unsafe_code,
    reason = "quotactl_fd(2) and the ioctls of struct fsxattr have no safe wrapper"
)]

use std::{
    fs::File,
    io,
    mem::{self, offset_of},
    os::fd::AsRawFd,
    path::Path,
};

/// Type of quota (linux/quota.h).
const PRJQUOTA: i32 = 2;

/// Commands and fields of the generic calls (linux/quota.h).
const Q_GETQUOTA: i32 = 0x0080_0007;
const Q_SETQUOTA: i32 = 0x0080_0008;
const QIF_BLIMITS: u32 = 1;

/// Limits are counted in these, in bytes (linux/quota.h: QIF_DQBLKSIZE).
const BLOCK_BYTES: u64 = 1024;

/// Files made in a folder are of its project (linux/fs.h).
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// `_IOR('X', 31, struct fsxattr)` and `_IOW('X', 32, struct fsxattr)` (linux/fs.h).
const FS_IOC_FSGETXATTR: libc::c_ulong = 0x801c_581f;
const FS_IOC_FSSETXATTR: libc::c_ulong = 0x401c_5820;

/// `struct fsxattr` (linux/fs.h).
#[repr(C)]
#[derive(Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

/// `struct if_dqblk` (linux/quota.h).
#[repr(C)]
#[derive(Default)]
struct IfDqblk {
    hard_blocks: u64,
    soft_blocks: u64,
    bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
    pad: u32,
}

const _: () = assert!(mem::size_of::<FsXattr>() == 28);
const _: () = assert!(offset_of!(IfDqblk, valid) == 64 && mem::size_of::<IfDqblk>() == 72);

/// Makes a folder and what will be made in it part of a project.
pub(crate) fn set_project(folder: &Path, project: u32) -> io::Result<()> {
    let folder = File::open(folder)?;
    let mut about = FsXattr::default();
    // SAFETY: (1) the folder is open, (2) FS_IOC_FSGETXATTR writes one struct fsxattr, which `about` is and which lives through the call.
    let answer = unsafe { libc::ioctl(folder.as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut about) };
    done(answer.into())?;
    about.projid = project;
    about.xflags |= FS_XFLAG_PROJINHERIT;
    // SAFETY: as above; FS_IOC_FSSETXATTR reads one struct fsxattr.
    let answer = unsafe { libc::ioctl(folder.as_raw_fd(), FS_IOC_FSSETXATTR, &raw const about) };
    done(answer.into())
}

/// Limits the bytes of a project; rounded up to a whole KiB.
pub(crate) fn set_limit(disk: &Path, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK_BYTES);
    let mut quota = IfDqblk {
        hard_blocks: blocks,
        soft_blocks: blocks,
        valid: QIF_BLIMITS,
        ..IfDqblk::default()
    };
    control(disk, Q_SETQUOTA, project, &mut quota)
}

/// Bytes and inodes of a project.
pub(crate) fn usage(disk: &Path, project: u32) -> io::Result<(u64, u64)> {
    let mut quota = IfDqblk::default();
    control(disk, Q_GETQUOTA, project, &mut quota)?;
    Ok((quota.bytes, quota.inodes))
}

fn control(disk: &Path, command: i32, project: u32, quota: &mut IfDqblk) -> io::Result<()> {
    let disk = File::open(disk)?;
    // QCMD of linux/quota.h.
    let command = command << 8 | PRJQUOTA;
    // SAFETY: (1) the folder is open, (2) both commands read or write one struct if_dqblk, which `quota` is and which lives through the
    // call, (3) the other arguments are numbers.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            disk.as_raw_fd(),
            command,
            project,
            std::ptr::from_mut(quota),
        )
    };
    done(answer)
}

fn done(answer: i64) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
