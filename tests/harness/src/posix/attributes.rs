//! Modes, kinds of file systems, and whether inodes keep their numbers.

use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, fchmod, fstatvfs};
use rustix::io::Result;

use super::Case;
use super::line::Line;
use super::place::{self, Place};

pub(super) const CASES: &[Case] = &[
    ("modes", modes),
    ("mode_at_creation", at_creation),
    ("inode_numbers", inode_numbers),
    ("access_as_root", access),
    ("file_system", file_system),
];

fn modes(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"")?;
    for mode in [0, 0o777, 0o7777, 0o4711, 0o640] {
        place.chmod("file", mode)?;
        line.value(&format!("{mode:o}"), place.mode("file"));
    }
    fchmod(&file, Mode::from_raw_mode(0o2755))?;
    line.value("open", place::about(&file));
    let reader = place.open("file", OFlags::RDONLY)?;
    line.call("reader", fchmod(&reader, Mode::from_raw_mode(0o600)));
    let path = place.open("file", OFlags::PATH)?;
    line.call("path", fchmod(&path, Mode::from_raw_mode(0o644)));
    place.make_folder("folder", 0o7777)?;
    line.value("folder", place.mode("folder"));
    line.call("missing", place.chmod("missing", 0o644));
    place.symlink("file", "link")?;
    place.chmod("link", 0o600)?;
    line.value("followed", place.about("file"));
    Ok(())
}

fn at_creation(place: &Place, line: &mut Line) -> Result<()> {
    let create = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    for mode in [0o666, 0o4777, 0o6755, 0o1600] {
        let name = format!("file-{mode:o}");
        place.create(&name, create, mode)?;
        line.value(&name, place.about(&name));
    }
    // Who makes a file has it open whatever its mode is.
    let unreadable = place.create("unreadable", create, 0)?;
    line.call("write", rustix::io::pwrite(&unreadable, b"x", 0));
    line.value("read", place::read_all(&unreadable));
    Ok(())
}

fn inode_numbers(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"")?;
    place.make("other", b"")?;
    let number = |name: &str| place.stat(name).map(|stat| stat.st_ino);
    let first = number("file")?;
    line.say("differ", first != number("other")?);
    place.rename("file", "renamed")?;
    line.say("renamed", first == number("renamed")?);
    let open = rustix::fs::fstat(&file)?;
    line.say("open", first == open.st_ino);
    line.say("one_device", open.st_dev == place.stat("other")?.st_dev);
    Ok(())
}

fn access(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    place.chmod("file", 0)?;
    let may = |name: &str, access| accessat(place.fd(), name, access, AtFlags::empty());
    line.call("read", may("file", Access::READ_OK));
    line.call("write", may("file", Access::WRITE_OK));
    line.call("execute", may("file", Access::EXEC_OK));
    place.chmod("file", 0o010)?;
    line.call("execute_by_some", may("file", Access::EXEC_OK));
    place.make_folder("folder", 0)?;
    line.call("search", may("folder", Access::EXEC_OK));
    line.call("missing", may("missing", Access::EXISTS));
    Ok(())
}

fn file_system(place: &Place, line: &mut Line) -> Result<()> {
    let about = fstatvfs(place.fd())?;
    line.say("longest_name", about.f_namemax);
    line.say("block", about.f_bsize.is_power_of_two());
    line.say(
        "space",
        about.f_blocks > 0 && about.f_bfree <= about.f_blocks,
    );
    line.say("inodes", about.f_files >= about.f_ffree);
    Ok(())
}
