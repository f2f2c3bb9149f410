//! Owners, and what users may who are not root: their groups, set-user-ID and set-group-ID bits, sticky folders, the umask.

use rustix::fs::OFlags;
use rustix::io::{Result, pwrite};

use super::Case;
use super::deeds::{ROOT, Who, ask};
use super::line::Line;
use super::place::Place;

pub(super) const CASES: &[Case] = &[
    ("chown", chown),
    ("writes_take_set_id_bits_away", writes_clear),
    ("set_group_id_folder", set_group_id_folder),
    ("set_group_id_of_others", set_group_id_of_others),
    ("sticky_folder", sticky),
    ("permissions", permissions),
    ("owners_rights", owners_rights),
    ("umask", umask),
];

const ANN: Who = Who(1000, 1000, &[]);
const BOB: Who = Who(1001, 1001, &[]);
/// Bob in a further group.
const BOB_IN_2000: Who = Who(1001, 1001, &[2000, 3000]);

fn chown(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    place.chmod("file", 0o6755)?;
    place.chown("file", Some(1000), Some(2000))?;
    line.value("file", place.about("file"));
    place.chmod("file", 0o6745)?;
    place.chown("file", None, Some(2001))?;
    line.value("not_executed_by_group", place.about("file"));
    place.chmod("file", 0o4755)?;
    place.chown("file", Some(1002), None)?;
    line.value("user_alone", place.about("file"));
    place.chmod("file", 0o4755)?;
    place.chown("file", None, None)?;
    line.value("nobody", place.about("file"));
    place.make_folder("folder", 0o6755)?;
    place.chown("folder", Some(1000), Some(2000))?;
    line.value("folder", place.about("folder"));
    Ok(())
}

/// Everybody may write to it.
fn with_set_ids(place: &Place, name: &str) -> Result<()> {
    let file = place.make(name, b"content")?;
    drop(file);
    place.chown(name, Some(1000), Some(1000))?;
    place.chmod(name, 0o6777)
}

fn writes_clear(place: &Place, line: &mut Line) -> Result<()> {
    for deed in ["write", "open-and-truncate", "truncate", "fallocate"] {
        for (who, name) in [(BOB, "user"), (ROOT, "root")] {
            with_set_ids(place, "file")?;
            let said = ask(place, who, &[deed, "file"]);
            let mode = place.mode("file")?;
            line.say(&format!("{deed}_by_{name}"), format_args!("{said},{mode}"));
            place.unlink("file")?;
        }
    }
    // The one who wrote sees it at once.
    with_set_ids(place, "file")?;
    place.chmod("file", 0o2767)?;
    line.say("not_executed_by_group", ask(place, BOB, &["write", "file"]));
    line.value("mode", place.mode("file"));
    Ok(())
}

fn set_group_id_folder(place: &Place, line: &mut Line) -> Result<()> {
    place.make_folder("shared", 0o2777)?;
    place.chown("shared", None, Some(2000))?;
    line.value("folder", place.about("shared"));
    place.open("shared/file", OFlags::WRONLY | OFlags::CREATE)?;
    line.value("file", place.about("shared/file"));
    let say = |line: &mut Line, what: &str, who, deed, name: &str, mode| {
        line.say(what, ask(place, who, &[deed, name, mode]));
    };
    say(line, "of_bob", BOB, "create", "shared/bob", "666");
    say(line, "folder_of_bob", BOB, "mkdir", "shared/d", "755");
    // A file for a group's programs is not made by those who are not in the group.
    say(line, "stranger", BOB, "create", "shared/s", "2775");
    say(line, "member", BOB_IN_2000, "create", "shared/m", "2775");
    place.make_folder("shared/in", 0o755)?;
    line.value("in", place.owner("shared/in"));
    place.symlink("x", "shared/link")?;
    line.value("link", place.about("shared/link"));
    Ok(())
}

fn set_group_id_of_others(place: &Place, line: &mut Line) -> Result<()> {
    place.make("file", b"")?;
    place.chown("file", Some(1001), Some(2000))?;
    line.say("stranger", ask(place, BOB, &["chmod", "file", "2775"]));
    line.value("mode", place.mode("file"));
    line.say(
        "member",
        ask(place, BOB_IN_2000, &["chmod", "file", "2775"]),
    );
    line.value("mode_of_member", place.mode("file"));
    let give = |who, group: &str| ask(place, who, &["give-to-group", "file", group]);
    line.say("to_own_group", give(BOB_IN_2000, "3000"));
    line.value("given", place.about("file"));
    line.say("to_another", give(BOB_IN_2000, "4000"));
    line.say("back", give(BOB, "2000"));
    Ok(())
}

fn sticky(place: &Place, line: &mut Line) -> Result<()> {
    place.make_folder("tmp", 0o1777)?;
    line.say("make", ask(place, ANN, &["create", "tmp/ann", "666"]));
    line.say("unlink", ask(place, BOB, &["unlink", "tmp/ann"]));
    line.say("rename", ask(place, BOB, &["rename", "tmp/ann", "tmp/x"]));
    line.say("make_bob", ask(place, BOB, &["create", "tmp/bob", "666"]));
    line.say("over", ask(place, BOB, &["rename", "tmp/bob", "tmp/ann"]));
    line.say("write", ask(place, BOB, &["write", "tmp/ann"]));
    line.say("own", ask(place, ANN, &["unlink", "tmp/ann"]));
    line.say("of_root", ask(place, ROOT, &["unlink", "tmp/bob"]));
    Ok(())
}

fn permissions(place: &Place, line: &mut Line) -> Result<()> {
    place.make("private", b"secret")?;
    place.chmod("private", 0o600)?;
    place.make("of_group", b"shared")?;
    place.chown("of_group", None, Some(2000))?;
    place.chmod("of_group", 0o660)?;
    place.make_folder("closed", 0o700)?;
    place.make("closed/file", b"")?;
    place.make_folder("blind", 0o711)?;
    place.make("blind/file", b"there")?;
    line.say("read", ask(place, BOB, &["read", "private"]));
    line.say("group", ask(place, BOB, &["read", "of_group"]));
    let member = ask(place, BOB_IN_2000, &["read", "of_group"]);
    line.say("further_group", member);
    line.say("may", ask(place, BOB_IN_2000, &["access", "of_group"]));
    line.say("search", ask(place, BOB, &["about", "closed/file"]));
    line.say("list", ask(place, BOB, &["list", "closed"]));
    line.say("list_blind", ask(place, BOB, &["list", "blind"]));
    line.say("read_blind", ask(place, BOB, &["read", "blind/file"]));
    line.say("make", ask(place, BOB, &["create", "blind/new", "644"]));
    line.say("unlink", ask(place, BOB, &["unlink", "blind/file"]));
    // Not even the owner, when the owner's bits say no and the others' yes.
    place.make("odd", b"")?;
    place.chown("odd", Some(1001), None)?;
    place.chmod("odd", 0o077)?;
    line.say("owner", ask(place, BOB, &["read", "odd"]));
    line.say("owner_may", ask(place, BOB, &["access", "odd"]));
    Ok(())
}

fn owners_rights(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"content")?;
    place.chmod("file", 0o666)?;
    for deed in ["touch", "set-times", "keep-time", "set-attribute"] {
        line.say(deed, ask(place, BOB, &[deed, "file"]));
    }
    line.say("chmod", ask(place, BOB, &["chmod", "file", "600"]));
    line.say("give", ask(place, BOB, &["give-away", "file"]));
    place.chown("file", Some(1001), None)?;
    place.chmod("file", 0o444)?;
    for deed in ["touch", "set-times", "keep-time", "write"] {
        line.say(&format!("own_{deed}"), ask(place, BOB, &[deed, "file"]));
    }
    line.say("own_give", ask(place, BOB, &["give-away", "file"]));
    // What was open stays open.
    place.chmod("file", 0)?;
    line.call("open", pwrite(&file, b"x", 0));
    Ok(())
}

fn umask(place: &Place, line: &mut Line) -> Result<()> {
    for umask in ["22", "27", "77", "0"] {
        let name = format!("folder-{umask}");
        place.make_folder(&name, 0o777)?;
        line.say(umask, ask(place, BOB, &["under-umask", &name, umask]));
    }
    Ok(())
}
