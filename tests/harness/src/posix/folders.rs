//! Folders: what is listed, also while it changes; and files that are no files: pipes, sockets, devices.

use std::collections::HashSet;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, makedev, mknodat, unlinkat};
use rustix::io::{Errno, Result};

use super::Case;
use super::line::Line;
use super::place::Place;

pub(super) const CASES: &[Case] = &[
    ("large_folder", large_folder),
    ("folder_that_shrinks", shrinks),
    ("dots", dots),
    ("kinds_in_folder", kinds),
    ("pipe", pipe),
    ("socket", socket),
    ("devices", devices),
];

/// With such names, more than the 32 KiB that C libraries ask for at once; a FUSE folder is listed by the page.
const ENTRIES: usize = 200;
const NAME_BYTES: usize = 220;

/// All names from here to the end, without those of the folder itself and its parent.
fn rest(folder: &mut Dir) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut rest = Vec::new();
    while let Some(entry) = folder.read() {
        let entry = entry?;
        let name = entry.file_name().to_bytes().to_vec();
        if !matches!(&*name, b"." | b"..") {
            rest.push((entry.offset(), name));
        }
    }
    Ok(rest)
}

fn fill(place: &Place, entries: usize) -> Result<()> {
    place.make_folder("many", 0o755)?;
    place.make("one", b"")?;
    for number in 0..entries {
        place.link("one", &format!("many/{number:0NAME_BYTES$}"))?;
    }
    Ok(())
}

fn large_folder(place: &Place, line: &mut Line) -> Result<()> {
    fill(place, ENTRIES)?;
    line.value("links", place.about("one"));
    let mut folder = Dir::new(place.open("many", OFlags::DIRECTORY)?)?;
    let all = rest(&mut folder)?;
    let names: HashSet<&Vec<u8>> = all.iter().map(|(_, name)| name).collect();
    line.say("listed", format_args!("{},{}", all.len(), names.len()));
    // From where each of some entries was, the rest comes as before.
    for index in [0, 1, 99, 167, ENTRIES - 2] {
        let Some((offset, _)) = all.get(index) else {
            continue;
        };
        folder.seek(*offset)?;
        let again = rest(&mut folder)?;
        let same = all.get(index + 1..) == Some(&*again);
        line.say(&format!("from_{index}"), same);
    }
    folder.rewind();
    line.say("rewound", rest(&mut folder)? == all);
    Ok(())
}

fn shrinks(place: &Place, line: &mut Line) -> Result<()> {
    const FEW: usize = 100;
    fill(place, FEW)?;
    let many = place.open("many", OFlags::DIRECTORY)?;
    let mut folder = Dir::read_from(&many)?;
    let mut removed = 0;
    while let Some(entry) = folder.read() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            unlinkat(&many, entry.file_name(), AtFlags::empty())?;
            removed += 1;
        }
    }
    line.say("removed", removed);
    line.value("left", place.names("many").map(|names| names.len()));
    line.call("rmdir", place.rmdir("many"));
    Ok(())
}

fn dots(place: &Place, line: &mut Line) -> Result<()> {
    place.make_folder("folder", 0o755)?;
    let folder = Dir::new(place.open("folder", OFlags::DIRECTORY)?)?;
    let mut names = Vec::new();
    for entry in folder {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    line.say("names", names.join(","));
    let same = place.stat("folder/..")?.st_ino == place.stat(".")?.st_ino;
    line.say("parent", same);
    Ok(())
}

fn kinds(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    place.make_folder("folder", 0o755)?;
    place.symlink("file", "link")?;
    mknod(place, "pipe", FileType::Fifo, 0)?;
    let mut said = Vec::new();
    for entry in Dir::new(place.open(".", OFlags::DIRECTORY)?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(&*name, "." | "..") {
            continue;
        }
        let same = entry.ino() == place.stat(&name)?.st_ino;
        said.push(format!("{name}:{:?}:{same}", entry.file_type()));
    }
    said.sort();
    line.say("kinds", said.join(","));
    Ok(())
}

fn mknod(place: &Place, name: &str, kind: FileType, device: u64) -> Result<()> {
    mknodat(place.fd(), name, kind, Mode::from_raw_mode(0o640), device)
}

fn pipe(place: &Place, line: &mut Line) -> Result<()> {
    mknod(place, "pipe", FileType::Fifo, 0)?;
    line.value("about", place.about("pipe"));
    let not_waiting = OFlags::NONBLOCK;
    line.call(
        "nobody_reads",
        place.open("pipe", OFlags::WRONLY | not_waiting),
    );
    let reader = place.open("pipe", OFlags::RDONLY | not_waiting)?;
    let writer = place.open("pipe", OFlags::WRONLY | not_waiting)?;
    rustix::io::write(&writer, b"through")?;
    let mut bytes = [0; 16];
    let length = rustix::io::read(&reader, &mut bytes)?;
    line.say("read", length);
    line.call("over", mknod(place, "pipe", FileType::RegularFile, 0));
    Ok(())
}

fn socket(place: &Place, line: &mut Line) -> Result<()> {
    // A path in a socket's address is short (unix(7)).
    let path = format!("/proc/self/fd/{}/socket", place.fd().as_raw_fd());
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let listener = UnixListener::bind(&path).map_err(errno);
    line.call("bind", listener.as_ref().map_err(|errno| *errno));
    line.value("about", place.about("socket"));
    line.call("connect", UnixStream::connect(&path).map_err(errno));
    line.call("open", place.open("socket", OFlags::RDONLY));
    line.call("again", UnixListener::bind(&path).map_err(errno));
    drop(listener);
    line.call("nobody", UnixStream::connect(&path).map_err(errno));
    Ok(())
}

fn devices(place: &Place, line: &mut Line) -> Result<()> {
    let null = mknod(place, "null", FileType::CharacterDevice, makedev(1, 3));
    line.call("null", null);
    line.value("about", place.about("null"));
    Ok(())
}
