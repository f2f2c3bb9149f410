//! What a child of this program does, as another user or as another process. Main functions: [`ask`], for cases, and [`run_as`], for the
//! program, which is started again as `storage-suite as UID GID GROUPS DEED WORD...` in the folder of the case.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::fs::{
    Access, AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW,
    XattrFlags, accessat, fallocate, flock, ftruncate, mkdirat, setxattr, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::line;
use super::place::Place;

/// Who does it: a user, the user's group, and further ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who(pub(super) u32, pub(super) u32, pub(super) &'static [u32]);

pub(super) const ROOT: Who = Who(0, 0, &[]);

type Deed = fn(&Place, &[String]) -> rustix::io::Result<String>;

const DEEDS: &[(&str, Deed)] = &[
    ("read", |place, words| place.read(first(words)?)),
    ("list", |place, words| {
        let names = place.names(first(words)?)?;
        Ok(names.len().to_string())
    }),
    ("about", |place, words| place.about(first(words)?)),
    ("write", |place, words| {
        let file = place.open(first(words)?, OFlags::WRONLY)?;
        ok(pwrite(&file, b"written", 0))
    }),
    ("create", |place, words| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        place.create(first(words)?, flags, octal(words)?)?;
        place.about(first(words)?)
    }),
    ("mkdir", |place, words| {
        let mode = Mode::from_raw_mode(octal(words)?);
        mkdirat(place.fd(), first(words)?, mode)?;
        place.about(first(words)?)
    }),
    ("open-and-truncate", |place, words| {
        let flags = OFlags::WRONLY | OFlags::TRUNC;
        ok(place.open(first(words)?, flags))
    }),
    ("truncate", |place, words| {
        let file = place.open(first(words)?, OFlags::WRONLY)?;
        ok(ftruncate(&file, 3))
    }),
    ("fallocate", |place, words| {
        let file = place.open(first(words)?, OFlags::WRONLY)?;
        ok(fallocate(&file, FallocateFlags::empty(), 0, 8192))
    }),
    ("unlink", |place, words| ok(place.unlink(first(words)?))),
    ("rename", |place, words| {
        ok(place.rename(first(words)?, second(words)?))
    }),
    ("chmod", |place, words| {
        ok(place.chmod(first(words)?, octal(words)?))
    }),
    ("give-away", |place, words| {
        ok(place.chown(first(words)?, Some(0), None))
    }),
    ("give-to-group", |place, words| {
        let group = number(second(words)?, 10)?;
        ok(place.chown(first(words)?, None, Some(group)))
    }),
    ("touch", |place, words| {
        ok(set_times(place, first(words)?, 0, UTIME_NOW))
    }),
    ("set-times", |place, words| {
        ok(set_times(place, first(words)?, 1_000_000_000, 0))
    }),
    ("keep-time", |place, words| {
        ok(place.open(first(words)?, OFlags::RDONLY | OFlags::NOATIME))
    }),
    ("set-attribute", |place, words| {
        let path = place.path(first(words)?);
        ok(setxattr(&path, "user.a", b"x", XattrFlags::empty()))
    }),
    ("access", access),
    ("under-umask", |place, words| {
        let umask = Mode::from_raw_mode(octal(words)?);
        rustix::process::umask(umask);
        let name = first(words)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        place.create(&format!("{name}/file"), flags, 0o666)?;
        mkdirat(
            place.fd(),
            format!("{name}/folder"),
            Mode::from_raw_mode(0o777),
        )?;
        let modes = [format!("{name}/file"), format!("{name}/folder")];
        let modes = modes.map(|name| place.mode(&name));
        let [file, folder] = modes;
        Ok(format!("{},{}", file?, folder?))
    }),
    ("flock", |place, words| {
        let file = place.open(first(words)?, OFlags::RDWR)?;
        ok(flock(&file, FlockOperation::NonBlockingLockExclusive))
    }),
    ("lock", |place, words| {
        let file = place.open(first(words)?, OFlags::RDWR)?;
        ok(lock(&file, second(words)?, 'w'))
    }),
    ("read-lock", |place, words| {
        let file = place.open(first(words)?, OFlags::RDWR)?;
        ok(lock(&file, second(words)?, 'r'))
    }),
];

/// What a child of this program says that does a deed in the place.
pub(super) fn ask(place: &Place, who: Who, words: &[&str]) -> String {
    let Who(user, group, groups) = who;
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let program = std::env::current_exe().unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args([
            "as",
            &user.to_string(),
            &group.to_string(),
            &groups.join(","),
        ])
        .args(words)
        .current_dir(place.path(""));
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(output) => format!("{}: {output:?}", super::UNFINISHED),
        Err(error) => format!("{}: {error}", super::UNFINISHED),
    }
}

/// The child: becomes somebody, does one deed in the working directory, and says what came out.
pub fn run_as(words: &[String]) -> Result<String> {
    let [user, group, groups, deed, words @ ..] = words else {
        bail!("say UID, GID, GROUPS and what to do");
    };
    let found = DEEDS.iter().find(|(name, _)| name == deed);
    let (_, deed) = found.with_context(|| format!("{deed}: no such deed"))?;
    // Opened while it may be: the folders above are not for everybody.
    let place = Place::at(Path::new("."))?;
    let groups = groups.split(',').filter(|word| !word.is_empty());
    let groups: Result<Vec<Gid>, _> = groups.map(|word| word.parse().map(Gid::from_raw)).collect();
    let user = Uid::from_raw(user.parse()?);
    if !user.is_root() {
        setgroups(&groups?).context("set the groups")?;
        setgid(Gid::from_raw(group.parse()?)).context("set the group")?;
        setuid(user).context("set the user")?;
    }
    Ok(deed(&place, words).unwrap_or_else(line::named))
}

/// A lock on bytes of the file: of the process, or of the open file description ("ofd"). It isn't waited for. `kind` is r, w or u.
pub(super) fn lock(file: &OwnedFd, whose: &str, kind: char) -> rustix::io::Result<()> {
    let kind = match kind {
        'r' => libc::F_RDLCK,
        'w' => libc::F_WRLCK,
        _ => libc::F_UNLCK,
    };
    let range = libc::flock {
        l_type: i16::try_from(kind).map_err(|_wrong| Errno::INVAL)?,
        l_whence: 0,
        l_start: 10,
        l_len: 10,
        l_pid: 0,
    };
    let call = match whose {
        "ofd" => FcntlArg::F_OFD_SETLK(&range),
        _ => FcntlArg::F_SETLK(&range),
    };
    let locked = fcntl(file, call);
    locked
        .map(drop)
        .map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

fn set_times(place: &Place, name: &str, seconds: i64, nanoseconds: i64) -> rustix::io::Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(place.fd(), name, &times, AtFlags::empty())
}

fn access(place: &Place, words: &[String]) -> rustix::io::Result<String> {
    let name = first(words)?;
    let ways = [
        ('r', Access::READ_OK),
        ('w', Access::WRITE_OK),
        ('x', Access::EXEC_OK),
    ];
    let may = ways.map(|(letter, way)| {
        let may = accessat(place.fd(), name, way, AtFlags::empty());
        may.map_or('-', |()| letter)
    });
    Ok(may.iter().collect())
}

fn ok<T>(result: rustix::io::Result<T>) -> rustix::io::Result<String> {
    result.map(|_given| "ok".to_owned())
}

fn first(words: &[String]) -> rustix::io::Result<&str> {
    words.first().map(String::as_str).ok_or(Errno::INVAL)
}

fn second(words: &[String]) -> rustix::io::Result<&str> {
    words.get(1).map(String::as_str).ok_or(Errno::INVAL)
}

fn octal(words: &[String]) -> rustix::io::Result<u32> {
    number(second(words)?, 8)
}

fn number(word: &str, radix: u32) -> rustix::io::Result<u32> {
    u32::from_str_radix(word, radix).map_err(|_wrong| Errno::INVAL)
}
