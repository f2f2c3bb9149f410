//! Extended attributes and the access control lists among them.

use std::path::Path;

use rustix::fs::{
    FileType, Mode, XattrFlags, getxattr, getxattr_query, lgetxattr, listxattr, lsetxattr, mknodat,
    removexattr, setxattr,
};
use rustix::io::Result;

use super::Case;
use super::deeds::{Who, ask};
use super::line::Line;
use super::place::Place;

pub(super) const CASES: &[Case] = &[
    ("attributes_of_users", of_users),
    ("attributes_have_bounds", bounds),
    ("attributes_of_other_kinds", other_kinds),
    ("access_control_list", access_list),
    ("default_access_control_list", default_list),
];

const ANY: XattrFlags = XattrFlags::empty();
const ACCESS_LIST: &str = "system.posix_acl_access";
const DEFAULT_LIST: &str = "system.posix_acl_default";

const BOB: Who = Who(1001, 1001, &[]);
const EVE: Who = Who(1002, 1002, &[]);

fn read(path: &Path, name: &str) -> Result<String> {
    let mut bytes = vec![0; 1 << 16];
    let length = getxattr(path, name, &mut bytes[..])?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn length(path: &Path, name: &str) -> Result<usize> {
    getxattr_query(path, name)
}

fn list(path: &Path) -> Result<String> {
    let mut bytes = vec![0; 1 << 16];
    let length = listxattr(path, &mut bytes[..])?;
    bytes.truncate(length);
    let names = String::from_utf8_lossy(&bytes).into_owned();
    // A kernel's security modules add their own.
    let mut names: Vec<&str> = names
        .split_terminator('\0')
        .filter(|name| name.starts_with("user.") || name.starts_with("system."))
        .collect();
    names.sort_unstable();
    Ok(names.join(","))
}

fn of_users(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    let path = place.path("file");
    line.call("missing", read(&path, "user.a"));
    line.call("set", setxattr(&path, "user.a", b"one", ANY));
    line.value("get", read(&path, "user.a"));
    let (create, replace) = (XattrFlags::CREATE, XattrFlags::REPLACE);
    line.call("create_again", setxattr(&path, "user.a", b"two", create));
    line.call("replace", setxattr(&path, "user.a", b"two", replace));
    line.call("replace_none", setxattr(&path, "user.b", b"x", replace));
    line.call("create", setxattr(&path, "user.b", b"", create));
    line.value("empty", length(&path, "user.b"));
    line.value("list", list(&path));
    line.value("after", read(&path, "user.a"));
    place.link("file", "link")?;
    line.value("by_link", read(&place.path("link"), "user.a"));
    place.rename("file", "moved")?;
    let path = place.path("moved");
    line.call("remove", removexattr(&path, "user.a"));
    line.call("remove_again", removexattr(&path, "user.a"));
    line.value("left", list(&path));
    Ok(())
}

fn bounds(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    let path = place.path("file");
    let set = |name: &str, bytes: usize| setxattr(&path, name, &vec![b'v'; bytes], ANY);
    line.call("large", set("user.large", 30_000));
    line.value("length", length(&path, "user.large"));
    let cut = getxattr(&path, "user.large", &mut [0_u8; 8][..]);
    line.call("small_room", cut);
    line.call("largest", set("user.largest", 1 << 16));
    line.value("largest_length", length(&path, "user.largest"));
    line.call("too_large", set("user.x", (1 << 16) + 1));
    let name = |length: usize| format!("user.{}", "n".repeat(length - 5));
    line.call("long_name", set(&name(255), 1));
    line.call("too_long_name", set(&name(256), 1));
    line.call("no_name", set("user.", 1));
    line.call("unknown", set("unknown.x", 1));
    line.call("nothing", set("", 1));
    Ok(())
}

fn other_kinds(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    place.make_folder("folder", 0o755)?;
    place.symlink("file", "link")?;
    let mode = Mode::from_raw_mode(0o644);
    mknodat(place.fd(), "pipe", FileType::Fifo, mode, 0)?;
    for name in ["folder", "link", "pipe"] {
        let path = place.path(name);
        line.call(name, lsetxattr(&path, "user.a", b"x", ANY));
        let got = lgetxattr(&path, "user.a", &mut [0_u8; 8][..]);
        line.value(&format!("{name}_has"), got);
    }
    // By the link, of the file.
    setxattr(place.path("link"), "user.a", b"x", ANY)?;
    line.value("followed", list(&place.path("file")));
    place.chmod("file", 0o644)?;
    line.say("stranger", ask(place, BOB, &["set-attribute", "file"]));
    Ok(())
}

/// A list of version 2 (include/uapi/linux/posix_acl_xattr.h): tag, permissions and id of each entry.
fn entries(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

const OWNER: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJECT: u16 = 4;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// Bob may read and write, the owner too, nobody else anything.
fn for_bob(mask: u16) -> Vec<u8> {
    entries(&[
        (OWNER, 6, NO_ID),
        (USER, 6, 1001),
        (GROUP_OBJECT, 0, NO_ID),
        (MASK, mask, NO_ID),
        (OTHER, 0, NO_ID),
    ])
}

fn access_list(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"content")?;
    place.chmod("file", 0o600)?;
    let path = place.path("file");
    line.call("none", length(&path, ACCESS_LIST));
    line.call("set", setxattr(&path, ACCESS_LIST, &for_bob(6), ANY));
    line.value("mode", place.mode("file"));
    line.value("length", length(&path, ACCESS_LIST));
    line.value("listed", list(&path));
    line.say("bob", ask(place, BOB, &["read", "file"]));
    line.say("bob_may", ask(place, BOB, &["access", "file"]));
    line.say("eve", ask(place, EVE, &["read", "file"]));
    place.chmod("file", 0o640)?;
    line.say("bob_masked", ask(place, BOB, &["access", "file"]));
    line.call("mask", setxattr(&path, ACCESS_LIST, &for_bob(2), ANY));
    line.value("masked", place.mode("file"));
    line.say("bob_reads", ask(place, BOB, &["read", "file"]));
    let no_mask = entries(&[(OWNER, 6, NO_ID), (USER, 6, 1001), (OTHER, 0, NO_ID)]);
    line.call("wrong", setxattr(&path, ACCESS_LIST, &no_mask, ANY));
    line.call("short", setxattr(&path, ACCESS_LIST, b"\x02\0", ANY));
    let plain = entries(&[
        (OWNER, 7, NO_ID),
        (GROUP_OBJECT, 5, NO_ID),
        (OTHER, 5, NO_ID),
    ]);
    line.call("plain", setxattr(&path, ACCESS_LIST, &plain, ANY));
    line.value("plain_mode", place.mode("file"));
    line.call("no_more", length(&path, ACCESS_LIST));
    line.call("default", setxattr(&path, DEFAULT_LIST, &for_bob(6), ANY));
    Ok(())
}

fn default_list(place: &Place, line: &mut Line) -> Result<()> {
    place.make_folder("folder", 0o777)?;
    let path = place.path("folder");
    line.call("set", setxattr(&path, DEFAULT_LIST, &for_bob(7), ANY));
    line.value("listed", list(&path));
    // The list stands in for the umask.
    let made = ask(place, BOB, &["under-umask", "folder", "77"]);
    line.say("made", made);
    line.value("file", list(&place.path("folder/file")));
    line.value("folder", list(&place.path("folder/folder")));
    line.say("bob", ask(place, BOB, &["access", "folder/file"]));
    line.say("eve", ask(place, EVE, &["access", "folder/file"]));
    line.call("remove", removexattr(&path, DEFAULT_LIST));
    line.value("none", list(&path));
    place.make("folder/later", b"")?;
    line.value("later", list(&place.path("folder/later")));
    Ok(())
}
