//! What is in files: append, holes, preallocation, truncation, mappings, copies, what is on its way to the disk.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, OFlags, SeekFrom, copy_file_range, fallocate, fdatasync, fstat,
    fsync, ftruncate, linkat, seek, syncfs,
};
use rustix::io::{Errno, Result, pread, pwrite, write};
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

use super::Case;
use super::line::Line;
use super::place::{self, Place, write_at};

pub(super) const CASES: &[Case] = &[
    ("append", append),
    ("offsets", offsets),
    ("holes", holes),
    ("fallocate", preallocate),
    ("fallocate_moves", preallocate_moves),
    ("truncate", truncate),
    ("mapping_is_coherent", mapping),
    ("unnamed_file", unnamed),
    ("direct", direct),
    ("copy_file_range", copy),
    ("sync", sync),
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn append(place: &Place, line: &mut Line) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND;
    let one = place.open("file", flags)?;
    let two = place.open("file", flags)?;
    write(&one, b"a")?;
    write(&two, b"b")?;
    write(&one, b"c")?;
    // Linux appends even so (pwrite(2), BUGS).
    line.value("pwrite", pwrite(&two, b"d", 0));
    line.value("read", place.read("file"));
    ftruncate(&one, 1)?;
    write(&two, b"e")?;
    line.value("truncated", place.read("file"));
    line.value("position", seek(&two, SeekFrom::Current(0)));
    Ok(())
}

fn offsets(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"content")?;
    let end = i64::MAX as u64;
    line.value("past_end", place::read_at(&file, 8, 100));
    line.value("read_last", place::read_at(&file, 8, end - 8));
    line.call("read_beyond", place::read_at(&file, 8, end - 4));
    line.call("read_negative", place::read_at(&file, 8, u64::MAX));
    line.call("write_last", pwrite(&file, b"12345678", end - 8));
    line.call("write_beyond", pwrite(&file, b"12345678", end));
    line.call("write_negative", pwrite(&file, b"x", u64::MAX));
    line.value("nothing", pwrite(&file, b"", 100));
    line.value("size", place::size(&file));
    line.call("seek_negative", seek(&file, SeekFrom::Current(-1)));
    line.value("seek_far", seek(&file, SeekFrom::Start(end)));
    line.call("seek_too_far", seek(&file, SeekFrom::Current(1)));
    line.value("seek_end", seek(&file, SeekFrom::End(-3)));
    Ok(())
}

fn holes(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.open("file", OFlags::RDWR | OFlags::CREATE)?;
    ftruncate(&file, 4 * MIB)?;
    write_at(&file, &[7; 64 << 10], MIB)?;
    write_at(&file, &[7; 64 << 10], 3 * MIB)?;
    fsync(&file)?;
    line.value("blocks", fstat(&file).map(|stat| stat.st_blocks));
    let find = |from| seek(&file, from);
    line.value("data", find(SeekFrom::Data(0)));
    line.value("in_data", find(SeekFrom::Data(MIB + 5)));
    line.value("hole", find(SeekFrom::Hole(MIB)));
    line.value("in_hole", find(SeekFrom::Hole(5)));
    line.value("next", find(SeekFrom::Data(MIB + 64 * KIB)));
    line.value("last_hole", find(SeekFrom::Hole(3 * MIB)));
    line.call("no_more_data", find(SeekFrom::Data(3 * MIB + 64 * KIB)));
    line.call("past_end", find(SeekFrom::Hole(4 * MIB)));
    line.call("beyond", find(SeekFrom::Data(9 * MIB)));
    line.value("zeros", place::read_at(&file, 4, 2 * MIB));
    Ok(())
}

fn state(file: &OwnedFd) -> Result<String> {
    let stat = fstat(file)?;
    Ok(format!("{},{}", stat.st_size, stat.st_blocks))
}

fn preallocate(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", &[b'x'; 8192])?;
    let plain = FallocateFlags::empty();
    let (keep, punch) = (FallocateFlags::KEEP_SIZE, FallocateFlags::PUNCH_HOLE);
    let zero = FallocateFlags::ZERO_RANGE;
    fallocate(&file, plain, 0, 256 * KIB)?;
    fsync(&file)?;
    line.value("grown", state(&file));
    line.call("keep", fallocate(&file, keep, 256 * KIB, 256 * KIB));
    line.value("kept", place::size(&file));
    line.call("punch", fallocate(&file, punch | keep, 4096, 4096));
    line.value("punched", place::read_at(&file, 2, 4095));
    line.call("punch_alone", fallocate(&file, punch, 0, 4096));
    line.call("zero", fallocate(&file, zero, 0, 4096));
    line.value("zeroed", place::read_at(&file, 2, 0));
    line.call("zero_keep", fallocate(&file, zero | keep, MIB, 4096));
    line.value("same", place::size(&file));
    line.call("nothing", fallocate(&file, plain, 0, 0));
    line.call("negative", fallocate(&file, plain, u64::MAX, 4096));
    let far = i64::MAX as u64;
    line.call("too_far", fallocate(&file, plain, far - 4096, 8192));
    let reader = place.open("file", OFlags::RDONLY)?;
    line.call("reader", fallocate(&reader, plain, 0, 4096));
    let folder = place.open(".", OFlags::DIRECTORY)?;
    line.call("folder", fallocate(&folder, plain, 0, 4096));
    Ok(())
}

fn preallocate_moves(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", &[b'x'; 16384])?;
    let collapse = FallocateFlags::COLLAPSE_RANGE;
    line.call("collapse", fallocate(&file, collapse, 0, 4096));
    line.value("less", place::size(&file));
    let insert = FallocateFlags::INSERT_RANGE;
    line.call("insert", fallocate(&file, insert, 0, 4096));
    line.value("more", place::size(&file));
    Ok(())
}

fn truncate(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", &[b'x'; 5000])?;
    ftruncate(&file, 10)?;
    line.value("shrunk", place::read_all(&file));
    ftruncate(&file, 14)?;
    line.value("grown", place::read_all(&file));
    ftruncate(&file, 1 << 40)?;
    line.value("huge", place::size(&file));
    ftruncate(&file, 0)?;
    line.value("empty", state(&file));
    line.call("negative", ftruncate(&file, u64::MAX));
    line.call("largest", ftruncate(&file, i64::MAX as u64));
    let reader = place.open("file", OFlags::RDONLY)?;
    line.call("reader", ftruncate(&reader, 0));
    Ok(())
}

/// A mapping of a file's beginning, shared with whoever maps or reads it.
fn map(file: &OwnedFd, bytes: usize) -> Result<MmapRegion> {
    let file = file.try_clone().map_err(|_error| Errno::MFILE)?;
    MmapRegion::from_file(FileOffset::new(file.into(), 0), bytes).map_err(|_error| Errno::NODEV)
}

fn mapping(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", &[b'x'; 8192])?;
    let other = place.open("file", OFlags::RDWR)?;
    let (one, two) = (map(&file, 8192)?, map(&other, 8192)?);
    let (one, two) = (one.as_volatile_slice(), two.as_volatile_slice());
    let failed = |_error| Errno::FAULT;
    one.write_slice(b"mapped", 0).map_err(failed)?;
    line.value("read", place::read_at(&other, 6, 0));
    let mut bytes = [0; 6];
    two.read_slice(&mut bytes, 0).map_err(failed)?;
    line.say("other_mapping", String::from_utf8_lossy(&bytes));
    pwrite(&other, b"written", 4096)?;
    one.read_slice(&mut bytes, 4096).map_err(failed)?;
    line.say("written", String::from_utf8_lossy(&bytes));
    line.call("sync", fsync(&file));
    line.value("again", place.read("file").map(|text| text.len()));
    // Beyond the end of the file, in its last page, is nothing of the file's.
    ftruncate(&file, 4097)?;
    ftruncate(&file, 8192)?;
    one.read_slice(&mut bytes, 4096).map_err(failed)?;
    let only_first = bytes == [b'w', 0, 0, 0, 0, 0];
    line.say("cut", only_first);
    Ok(())
}

fn unnamed(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.create(".", OFlags::TMPFILE | OFlags::RDWR, 0o640);
    line.value(
        "made",
        file.as_ref().map_err(|errno| *errno).and_then(place::about),
    );
    let Ok(file) = file else { return Ok(()) };
    write(&file, b"unnamed")?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let named = linkat(CWD, &*path, place.fd(), "named", AtFlags::SYMLINK_FOLLOW);
    line.call("link", named);
    line.value("about", place.about("named"));
    line.value("read", place.read("named"));
    let never = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL;
    let file = place.create(".", never, 0o640)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let named = linkat(CWD, &*path, place.fd(), "never", AtFlags::SYMLINK_FOLLOW);
    line.call("never", named);
    Ok(())
}

fn direct(place: &Place, line: &mut Line) -> Result<()> {
    const BLOCK: usize = 4096;
    let mut room = vec![b'x'; 3 * BLOCK];
    let at = room.as_ptr().align_offset(BLOCK);
    let block = room.get_mut(at..at + BLOCK).ok_or(Errno::FAULT)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT;
    let file = place.open("file", flags);
    line.call("create", file.as_ref().map_err(|errno| *errno));
    let Ok(file) = file else { return Ok(()) };
    line.value("write", pwrite(&file, block, BLOCK as u64));
    block.fill(0);
    line.value("read", pread(&file, &mut *block, BLOCK as u64));
    line.say(
        "first",
        char::from(block.first().copied().unwrap_or_default()),
    );
    let again = place.open("file", OFlags::RDWR | OFlags::DIRECT)?;
    line.value("write_again", pwrite(&again, block, 0));
    line.value("read_again", pread(&again, &mut *block, 0));
    let plain = place.open("file", OFlags::RDONLY)?;
    line.value("plain", place::read_at(&plain, 2, 4096));
    Ok(())
}

fn copy(place: &Place, line: &mut Line) -> Result<()> {
    let from = place.make("from", &[b'y'; 100_000])?;
    let to = place.make("to", b"")?;
    let mut copied = 0;
    // Less at a time than asked for is right (copy_file_range(2)).
    while copied < 100_000 {
        let (mut here, mut there) = (copied, copied + 10);
        let now = copy_file_range(&from, Some(&mut here), &to, Some(&mut there), 1 << 20)?;
        if now == 0 {
            break;
        }
        copied += now as u64;
    }
    line.say("copied", copied);
    line.value("size", place::size(&to));
    line.value("edge", place::read_at(&to, 4, 8));
    let (mut here, mut there) = (0, 50);
    let overlapping = copy_file_range(&from, Some(&mut here), &from, Some(&mut there), 100);
    line.call("overlapping", overlapping);
    let appending = place.open("to", OFlags::WRONLY | OFlags::APPEND)?;
    line.call(
        "appending",
        copy_file_range(&from, None, &appending, None, 10),
    );
    let reader = place.open("to", OFlags::RDONLY)?;
    line.call("reader", copy_file_range(&from, None, &reader, None, 10));
    let folder = place.open(".", OFlags::DIRECTORY)?;
    line.call("folder", copy_file_range(&folder, None, &to, None, 10));
    Ok(())
}

fn sync(place: &Place, line: &mut Line) -> Result<()> {
    let file = place.make("file", b"content")?;
    let folder = place.open(".", OFlags::DIRECTORY)?;
    line.call("file", fsync(&file));
    line.call("data", fdatasync(&file));
    line.call("folder", fsync(&folder));
    line.call("folder_data", fdatasync(&folder));
    line.call("all", syncfs(&folder));
    let reader = place.open("file", OFlags::RDONLY)?;
    line.call("reader", fsync(&reader));
    let path = place.open("file", OFlags::PATH)?;
    line.call("path", fsync(&path));
    Ok(())
}
