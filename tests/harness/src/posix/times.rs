//! Times: what is set is kept to the nanosecond, and what moves them.

use std::thread;
use std::time::Duration;

use rustix::fs::{
    AtFlags, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens, utimensat,
};
use rustix::io::{Result, pwrite};

use super::Case;
use super::line::Line;
use super::place::{self, Place};

pub(super) const CASES: &[Case] = &[
    ("times_are_kept", kept),
    ("times_move", moved),
    ("times_of_folders", of_folders),
    ("change_time", change),
];

const OLD: Timespec = Timespec {
    tv_sec: 1_000_000_000,
    tv_nsec: 123_456_789,
};

/// Longer than the tick of a kernel's clock for files.
const TICK: Duration = Duration::from_millis(50);

fn set(place: &Place, name: &str, access: Timespec, modification: Timespec) -> Result<()> {
    let times = Timestamps {
        last_access: access,
        last_modification: modification,
    };
    utimensat(place.fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn at(seconds: i64, nanoseconds: i64) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    }
}

fn shown(place: &Place, name: &str) -> Result<String> {
    let stat = place.stat(name)?;
    let Stat {
        st_atime,
        st_atime_nsec,
        st_mtime,
        st_mtime_nsec,
        ..
    } = stat;
    Ok(format!(
        "{st_atime}.{st_atime_nsec:09},{st_mtime}.{st_mtime_nsec:09}"
    ))
}

fn kept(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"")?;
    set(place, "file", OLD, at(1, 1))?;
    line.value("exact", shown(place, "file"));
    set(place, "file", at(-5, 999_999_999), at(-86_400, 0))?;
    line.value("before_1970", shown(place, "file"));
    set(place, "file", at(1 << 32, 5), at(1 << 33, 7))?;
    line.value("after_2106", shown(place, "file"));
    set(place, "file", OLD, at(0, UTIME_OMIT))?;
    line.value("one_left", shown(place, "file"));
    set(place, "file", at(0, UTIME_OMIT), at(0, UTIME_OMIT))?;
    line.value("both_left", shown(place, "file"));
    line.call("wrong", set(place, "file", at(0, 1_000_000_000), OLD));
    let reader = place.open("file", OFlags::RDONLY)?;
    let times = Timestamps {
        last_access: at(7, 8),
        last_modification: at(9, 10),
    };
    line.call("reader", futimens(&reader, &times));
    line.value("open", shown(place, "file"));
    place.symlink("file", "link")?;
    set(place, "link", at(11, 12), at(13, 14))?;
    line.value("link", shown(place, "link"));
    line.value("not_file", shown(place, "file"));
    drop(file);
    Ok(())
}

/// Which of the two times are no longer what they were set to.
fn which(place: &Place, name: &str) -> Result<String> {
    let stat = place.stat(name)?;
    let read = stat.st_atime != OLD.tv_sec;
    let written = stat.st_mtime != OLD.tv_sec;
    set(place, name, OLD, OLD)?;
    let word = match (read, written) {
        (false, false) => "none",
        (true, false) => "access",
        (false, true) => "modification",
        (true, true) => "both",
    };
    Ok(word.to_owned())
}

fn moved(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"content")?;
    set(place, "file", OLD, OLD)?;
    pwrite(&file, b"x", 0)?;
    line.value("write", which(place, "file"));
    pwrite(&file, b"", 0)?;
    line.value("write_nothing", which(place, "file"));
    rustix::fs::ftruncate(&file, 7)?;
    line.value("truncate_same", which(place, "file"));
    rustix::fs::ftruncate(&file, 3)?;
    line.value("truncate", which(place, "file"));
    place.open("file", OFlags::WRONLY | OFlags::TRUNC)?;
    line.value("open_truncate", which(place, "file"));
    place.open("file", OFlags::RDWR)?;
    line.value("open", which(place, "file"));
    place.chmod("file", 0o600)?;
    place.chown("file", Some(5), Some(5))?;
    place.link("file", "second")?;
    place.rename("second", "third")?;
    line.value("attributes", which(place, "file"));
    pwrite(&file, b"more", 0)?;
    set(place, "file", OLD, OLD)?;
    place::read_all(&file)?;
    line.value("read", which(place, "file"));
    set(place, "file", at(0, UTIME_NOW), OLD)?;
    line.value("now", which(place, "file"));
    Ok(())
}

fn of_folders(place: &Place, line: &mut Line) -> Result<()> {
    place.make_folder("folder", 0o755)?;
    set(place, "folder", OLD, OLD)?;
    place.make("folder/file", b"")?;
    line.value("create", which(place, "folder"));
    place
        .make("folder/file2", b"")
        .and_then(|file| pwrite(&file, b"x", 0))?;
    line.value("create_again", which(place, "folder"));
    place.chmod("folder/file", 0o600)?;
    line.value("inside", which(place, "folder"));
    place.rename("folder/file", "folder/renamed")?;
    line.value("rename", which(place, "folder"));
    place.link("folder/renamed", "folder/link")?;
    line.value("link", which(place, "folder"));
    place.unlink("folder/link")?;
    line.value("unlink", which(place, "folder"));
    place.make_folder("folder/in", 0o755)?;
    line.value("mkdir", which(place, "folder"));
    place.rmdir("folder/in")?;
    line.value("rmdir", which(place, "folder"));
    place.symlink("x", "folder/symlink")?;
    line.value("symlink", which(place, "folder"));
    place.names("folder")?;
    line.value("list", which(place, "folder"));
    Ok(())
}

fn change(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"")?;
    let mut last = None;
    let mut step = |what: &str, done: Result<()>| -> Result<()> {
        done?;
        let stat = place.stat("file")?;
        let now = (stat.st_ctime, stat.st_ctime_nsec);
        if last.is_some() {
            line.say(what, last != Some(now));
        }
        last = Some(now);
        // The next step comes at another time.
        thread::park_timeout(TICK);
        Ok(())
    };
    step("", Ok(()))?;
    step("nothing", Ok(()))?;
    step("chmod", place.chmod("file", 0o600))?;
    step("chown", place.chown("file", Some(0), Some(0)))?;
    step("link", place.link("file", "link"))?;
    step("unlink", place.unlink("link"))?;
    step("write", pwrite(&file, b"x", 0).map(drop))?;
    step("times", set(place, "file", OLD, OLD))?;
    step("read", place::read_all(&file).map(drop))
}
