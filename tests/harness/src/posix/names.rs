//! Names of files: open, link, rename, unlink, symbolic links, long names.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, readlinkat, renameat_with,
};
use rustix::io::{Result, pwrite};

use super::Case;
use super::line::Line;
use super::place::{self, Place};

pub(super) const CASES: &[Case] = &[
    ("open_flags", open_flags),
    ("open_by_links", open_by_links),
    ("link_counts", link_counts),
    ("link_errors", link_errors),
    ("unlink_while_open", unlink_while_open),
    ("unlink_errors", unlink_errors),
    ("rename_kinds", rename_kinds),
    ("rename_flags", rename_flags),
    ("rename_whiteout", rename_whiteout),
    ("rename_over_open_file", rename_over_open),
    ("long_names", long_names),
    ("symbolic_links", symbolic_links),
    ("link_loops", link_loops),
];

const WRITE: OFlags = OFlags::WRONLY;
const CREATE: OFlags = OFlags::WRONLY.union(OFlags::CREATE);

fn open_flags(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"content")?;
    place.make_folder("folder", 0o755)?;
    let exclusive = CREATE | OFlags::EXCL;
    line.call("exclusive", place.open("file", exclusive));
    line.call("exclusive_folder", place.open("folder", exclusive));
    line.call("folder_wanted", place.open("file", OFlags::DIRECTORY));
    line.call("write_folder", place.open("folder", WRITE));
    line.call("create_folder", place.open("folder", CREATE));
    line.call("missing", place.open("missing", OFlags::RDONLY));
    line.call("below_file", place.open("file/x", CREATE));
    line.call("below_missing", place.open("missing/x", CREATE));
    line.call("slash", place.open("file/", OFlags::RDONLY));
    line.call("create_slash", place.open("new/", CREATE));
    line.call("empty", place.open("", OFlags::RDONLY));
    let folder = place.open("folder", OFlags::RDONLY)?;
    line.value("read_folder", place::read_all(&folder));
    let reader = place.open("file", OFlags::RDONLY)?;
    line.call("write_reader", pwrite(&reader, b"x", 0));
    let writer = place.open("file", WRITE)?;
    line.value("read_writer", place::read_all(&writer));
    let truncated = place.open("file", OFlags::RDWR | OFlags::TRUNC)?;
    line.value("truncated", place::size(&truncated));
    line.value("for_others", place::read_all(&reader));
    let path = place.open("file", OFlags::PATH)?;
    line.value("read_path", place::read_all(&path));
    line.value("about_path", place::about(&path));
    Ok(())
}

fn open_by_links(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"content")?;
    place.symlink("file", "link")?;
    place.symlink("later", "dangling")?;
    line.value("followed", place.read("link"));
    let no_follow = OFlags::NOFOLLOW;
    line.call("not_followed", place.open("link", no_follow));
    let path = place.open("link", no_follow | OFlags::PATH)?;
    line.value("link_itself", place::about(&path));
    line.call("dangling", place.open("dangling", OFlags::RDONLY));
    line.call("exclusive", place.open("dangling", CREATE | OFlags::EXCL));
    line.call("made_behind", place.open("dangling", CREATE));
    line.value("later", place.about("later"));
    // A file that is open is opened again with other rights.
    let reader = place.open("file", OFlags::RDONLY)?;
    let again = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let writer = openat(CWD, &*again, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    line.call("again", pwrite(&writer, b"CON", 0));
    line.value("read", place.read("file"));
    Ok(())
}

fn link_counts(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("a", b"one")?;
    place.link("a", "b")?;
    place.make_folder("folder", 0o755)?;
    place.link("a", "folder/c")?;
    line.value("three", place.about("b"));
    let same = place.stat("a")?.st_ino == place.stat("folder/c")?.st_ino;
    line.say("one_inode", same);
    pwrite(&file, b"two", 0)?;
    line.value("through", place.read("folder/c"));
    place.unlink("a")?;
    line.value("two", place::about(&file));
    place.make_folder("folder/in", 0o755)?;
    line.value("folder", place.about("folder"));
    place.rmdir("folder/in")?;
    line.value("folder_again", place.about("folder"));
    Ok(())
}

fn link_errors(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("a", b"a")?;
    place.make("b", b"b")?;
    place.make_folder("folder", 0o755)?;
    place.symlink("a", "symlink")?;
    line.call("over", place.link("a", "b"));
    line.call("folder", place.link("folder", "again"));
    line.call("missing", place.link("missing", "c"));
    line.call("below_file", place.link("a", "b/c"));
    place.link("symlink", "symlink2")?;
    line.value("of_link", place.about("symlink2"));
    let follow = AtFlags::SYMLINK_FOLLOW;
    linkat(place.fd(), "symlink", place.fd(), "followed", follow)?;
    line.value("of_target", place.about("followed"));
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    line.call("of_open", linkat(CWD, &*open, place.fd(), "d", follow));
    for name in ["a", "followed", "d"] {
        place.unlink(name)?;
    }
    line.call("of_none", linkat(CWD, &*open, place.fd(), "e", follow));
    Ok(())
}

fn unlink_while_open(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"content")?;
    let second = place.open("file", OFlags::RDONLY)?;
    place.unlink("file")?;
    line.value("about", place::about(&file));
    line.value("read", place::read_all(&second));
    line.call("write", pwrite(&file, b"CON", 0));
    line.call("grow", rustix::fs::ftruncate(&file, 9000));
    line.value("size", place::size(&second));
    line.value("read_again", place::read_at(&second, 8, 0));
    line.call(
        "chmod",
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o600)),
    );
    line.value("changed", place::about(&second));
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    line.call("again", openat(CWD, &*again, flags, Mode::empty()));
    line.call("sync", rustix::fs::fsync(&file));
    // A new file of the same name is another.
    place.make("file", b"new")?;
    line.value("old", place::read_at(&second, 7, 0));
    line.value("new", place.read("file"));
    Ok(())
}

fn unlink_errors(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    place.make_folder("folder", 0o755)?;
    place.make("folder/file", b"")?;
    line.call("folder", place.unlink("folder"));
    line.call("rmdir_file", place.rmdir("file"));
    line.call("full", place.rmdir("folder"));
    line.call("itself", place.rmdir("folder/."));
    line.call("parent", place.rmdir("folder/.."));
    line.call("missing", place.unlink("missing"));
    line.call("slash", place.unlink("file/"));
    let folder = place.open("folder", OFlags::DIRECTORY)?;
    place.unlink("folder/file")?;
    place.rmdir("folder")?;
    line.value("gone", place::about(&folder));
    let mode = Mode::from_raw_mode(0o755);
    line.call("in_gone", mkdirat(&folder, "new", mode));
    line.call("file_in_gone", openat(&folder, "new", CREATE, mode));
    Ok(())
}

fn rename_kinds(place: &Place, line: &mut Line) -> Result<()> {
    for name in ["a", "b"] {
        place.make(name, name.as_bytes())?;
    }
    for name in ["folder", "empty", "full", "full/in"] {
        place.make_folder(name, 0o755)?;
    }
    line.call("file_over_folder", place.rename("a", "empty"));
    line.call("folder_over_file", place.rename("folder", "a"));
    line.call("over_full", place.rename("folder", "full"));
    line.call("into_itself", place.rename("full", "full/in/x"));
    line.call("over_parent", place.rename("full/in", "full"));
    line.call("missing", place.rename("missing", "x"));
    line.call("below_file", place.rename("a", "b/x"));
    line.call("itself", place.rename("folder/.", "x"));
    line.call("over_empty", place.rename("folder", "empty"));
    line.value("links", place.about("empty"));
    line.call("over_file", place.rename("a", "b"));
    line.value("read", place.read("b"));
    line.call("old", place.stat("a"));
    // Two names of one file stay as they are (rename(2)).
    place.link("b", "c")?;
    line.call("same", place.rename("b", "c"));
    line.value("both", place.about("b"));
    line.call("moved", place.rename("c", "full/in/c"));
    line.value("there", place.about("full/in/c"));
    line.call("parents", place.rename("full/in", "in"));
    line.value("full", place.about("full"));
    Ok(())
}

fn rename_flags(place: &Place, line: &mut Line) -> Result<()> {
    let rename =
        |old: &str, new: &str, flags| renameat_with(place.fd(), old, place.fd(), new, flags);
    place.make("a", b"a")?;
    place.make("b", b"b")?;
    place.make_folder("folder", 0o755)?;
    let keep = RenameFlags::NOREPLACE;
    line.call("keep", rename("a", "b", keep));
    line.call("keep_same", rename("a", "a", keep));
    line.call("keep_new", rename("a", "c", keep));
    line.value("new", place.read("c"));
    let swap = RenameFlags::EXCHANGE;
    line.call("swap", rename("b", "c", swap));
    line.value("b", place.read("b"));
    line.call("swap_kinds", rename("b", "folder", swap));
    line.value("folder", place.read("folder"));
    line.value("file", place.about("b"));
    line.call("swap_missing", rename("b", "missing", swap));
    line.call("both", rename("b", "c", keep | swap));
    Ok(())
}

fn rename_whiteout(place: &Place, line: &mut Line) -> Result<()> {
    place.make("a", b"a")?;
    let renamed = renameat_with(place.fd(), "a", place.fd(), "b", RenameFlags::WHITEOUT);
    line.call("whiteout", renamed);
    Ok(())
}

fn rename_over_open(place: &Place, line: &mut Line) -> Result<()> {
    let old = place.make("file", b"old")?;
    place.make("new", b"new")?;
    place.rename("new", "file")?;
    line.value("old", place::read_all(&old));
    line.value("about", place::about(&old));
    line.value("new", place.read("file"));
    line.value("about_new", place.about("file"));
    Ok(())
}

fn long_names(place: &Place, line: &mut Line) -> Result<()> {
    let name = |length: usize| "n".repeat(length);
    line.call("longest", place.make(&name(255), b""));
    line.value("listed", place.names(".").map(|names| names.len()));
    line.call("too_long", place.make(&name(256), b""));
    line.call("find_too_long", place.stat(&name(256)));
    line.call("rename_too_long", place.rename(&name(255), &name(256)));
    line.call("long_path", place.stat(&"./".repeat(2047)));
    line.call("too_long_path", place.stat(&"./".repeat(2048)));
    // Deeper than any path that can be said at once.
    let mut folders: Vec<OwnedFd> = vec![place.open(".", OFlags::DIRECTORY)?];
    for _ in 0..20 {
        let Some(last) = folders.last() else { break };
        mkdirat(last, name(250), Mode::from_raw_mode(0o755))?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        folders.push(openat(last, name(250), flags, Mode::empty())?);
    }
    line.say("depth", folders.len());
    if let Some(last) = folders.last() {
        let made = openat(last, "file", CREATE, Mode::from_raw_mode(0o600));
        line.value("at_the_end", made.and_then(|file| place::about(&file)));
    }
    Ok(())
}

fn symbolic_links(place: &Place, line: &mut Line) -> Result<()> {
    let target = |length: usize| "t".repeat(length);
    place.symlink("../a/b", "link")?;
    let read = |name: &str| {
        let target = readlinkat(place.fd(), name, Vec::new())?;
        Ok(target.to_string_lossy().into_owned())
    };
    line.value("target", read("link"));
    line.value("size", place.stat("link").map(|stat| stat.st_size));
    line.value("about", place.about("link"));
    for length in [60, 1000, 1023, 1024, 4095] {
        let name = format!("link-{length}");
        let made = place.symlink(&target(length), &name);
        let whole = made.and_then(|()| read(&name));
        line.value(&name, whole.map(|whole| whole.len()));
    }
    line.call("empty", place.symlink("", "nothing"));
    line.call("over", place.symlink("x", "link"));
    place.make("file", b"")?;
    line.call("read_file", read("file"));
    line.call("chown", place.chown("link", Some(1000), Some(2000)));
    line.value("owner", place.owner("link"));
    line.call("unlink", place.unlink("link"));
    Ok(())
}

fn link_loops(place: &Place, line: &mut Line) -> Result<()> {
    place.symlink("b", "a")?;
    place.symlink("a", "b")?;
    line.call("loop", place.open("a", OFlags::RDONLY));
    line.call("through", place.open("a/x", OFlags::RDONLY));
    place.make("0", b"end")?;
    for number in 1..=41 {
        place.symlink(&(number - 1).to_string(), &number.to_string())?;
    }
    line.value("forty", place.read("40"));
    line.value("one_more", place.read("41"));
    Ok(())
}
