//! Locks between two processes: of open files (flock), of processes (fcntl), of open file descriptions (OFD).

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Result;

use super::Case;
use super::deeds::{ROOT, ask, lock};
use super::line::Line;
use super::place::Place;

pub(super) const CASES: &[Case] = &[
    ("locks_of_open_files", open_files),
    ("locks_of_processes", processes),
    ("locks_of_descriptions", descriptions),
];

fn open_files(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"")?;
    flock(&file, FlockOperation::LockExclusive)?;
    line.say("held", ask(place, ROOT, &["flock", "file"]));
    let second = place.open("file", OFlags::RDONLY)?;
    let try_shared = FlockOperation::NonBlockingLockShared;
    line.call("second", flock(&second, try_shared));
    flock(&file, FlockOperation::LockShared)?;
    line.call("shared", flock(&second, try_shared));
    drop(second);
    let copy = rustix::io::dup(&file)?;
    drop(file);
    line.say("copy_holds", ask(place, ROOT, &["flock", "file"]));
    drop(copy);
    line.say("closed", ask(place, ROOT, &["flock", "file"]));
    Ok(())
}

fn processes(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", &[b'x'; 100])?;
    let other = |deed| ask(place, ROOT, &[deed, "file", "process"]);
    lock(&file, "process", 'w')?;
    line.say("held", other("lock"));
    line.say("read_held", other("read-lock"));
    lock(&file, "process", 'r')?;
    line.say("shared", other("read-lock"));
    line.say("not_alone", other("lock"));
    lock(&file, "process", 'u')?;
    line.say("free", other("lock"));
    lock(&file, "process", 'w')?;
    // Any descriptor of the file that the process closes takes the process' locks away (fcntl_locking(2)).
    drop(place.open("file", OFlags::RDONLY)?);
    line.say("closed_another", other("lock"));
    let reader = place.open("file", OFlags::RDONLY)?;
    line.call("reader", lock(&reader, "process", 'w'));
    Ok(())
}

fn descriptions(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", &[b'x'; 100])?;
    let other = |deed| ask(place, ROOT, &[deed, "file", "ofd"]);
    lock(&file, "ofd", 'w')?;
    line.say("held", other("lock"));
    let second = place.open("file", OFlags::RDWR)?;
    line.call("same_process", lock(&second, "ofd", 'w'));
    drop(second);
    line.say("closed_another", other("lock"));
    line.say(
        "of_processes",
        ask(place, ROOT, &["lock", "file", "process"]),
    );
    lock(&file, "ofd", 'u')?;
    line.say("free", other("lock"));
    Ok(())
}
