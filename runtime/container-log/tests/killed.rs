//! Kills a real process with SIGKILL, again and again, while it writes and rotates a log; in the end
//! the log has every byte of both streams once.
//!
//! Started without arguments it is the test; with a folder it is the process that is killed, which
//! plays the guest (it knows all output and starts at the acknowledged offset) and kubelet, too.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use container_log::{Entries, Found, LineEnd, LogFile, Stream};

const STREAM_BYTES: usize = 1 << 20;
/// Most chunks are small, so that there are many appends to be killed in; one in 20 is not.
const SMALL_CHUNK_BYTES: u64 = 300;
const LARGE_CHUNK_BYTES: u64 = 8000;
/// How many rounds (an append to either stream) a writer is granted, at most. It is killed somewhere
/// in them, so that a busy machine does not let it finish meanwhile.
const MOST_ROUNDS: u64 = 300;
const LEAST_KILLS: usize = 20;
/// A process that gets nothing done for so long hangs.
const DEADLINE: Duration = Duration::from_secs(30);

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    // A test runner's own arguments, such as a filter, are no folder.
    match std::env::args_os().nth(1) {
        Some(folder) if Path::new(&folder).is_dir() => write_log(Path::new(&folder)),
        _ => kill_writers(),
    }
}

/// Numbers that look random and are the same in every process (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn seed(stream: Stream) -> u64 {
    match stream {
        Stream::Stdout => 0x5eed_0001,
        Stream::Stderr => 0x5eed_0002,
    }
}

/// Lines of up to 200 bytes, one in 50 longer than the format's limit; no newline at the end.
fn output(stream: Stream) -> Vec<u8> {
    let mut numbers = Numbers(seed(stream));
    let mut bytes = Vec::with_capacity(STREAM_BYTES);
    while bytes.len() < STREAM_BYTES {
        let most = if numbers.below(50) == 0 { 40_000 } else { 200 };
        let length = numbers.below(most);
        let first = u8::try_from(numbers.below(256)).unwrap_or(0);
        let text = (0..length).map(|at| first.wrapping_add(at.to_le_bytes()[0]));
        bytes.extend(text.filter(|byte| *byte != b'\n'));
        bytes.push(b'\n');
    }
    bytes.truncate(STREAM_BYTES);
    bytes.extend_from_slice(b"rest");
    bytes
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("0.log")
}

/// The older files, oldest first.
fn rotated(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b"0.log.") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn write_log(folder: &Path) -> Result<(), Failed> {
    let (path, position) = (log_path(folder), folder.join("position"));
    let mut log = if position.exists() {
        let (log, found) = LogFile::resume(&path, &position)?;
        // The very first kill may come before there is a position.
        let begun = Stream::ALL.map(|stream| log.acknowledged(stream)) != [None, None];
        if begun && found != Found::Exact {
            return Err(format!("found the log {found:?}").into());
        }
        log
    } else {
        LogFile::create(&path, &position)?
    };
    if !path.exists() {
        log.reopen()?;
    }
    let mut numbers = Numbers(u64::from(std::process::id()) + 1);
    let outputs = Stream::ALL.map(|stream| (stream, output(stream)));
    let mut sent = Stream::ALL.map(|stream| log.acknowledged(stream).unwrap_or(0));
    loop {
        // Waits for a round that is granted.
        io::stdin().read_exact(&mut [0])?;
        let mut all = true;
        for ((stream, output), sent) in outputs.iter().zip(&mut sent) {
            let rest = output.get(usize::try_from(*sent)?..).unwrap_or_default();
            let most = match numbers.below(20) {
                0 => LARGE_CHUNK_BYTES,
                _ => SMALL_CHUNK_BYTES,
            };
            let length = usize::try_from(numbers.below(most))?.min(rest.len());
            all &= rest.is_empty();
            log.append(*stream, *sent, &rest[..length], SystemTime::now())?;
            *sent += u64::try_from(length)?;
            io::stdout().write_all(b".")?;
            io::stdout().flush()?;
        }
        if numbers.below(50) == 0 {
            let number = rotated(folder)?.len();
            fs::rename(&path, folder.join(format!("0.log.{number:06}")))?;
            log.reopen()?;
        }
        if all {
            break;
        }
    }
    for stream in Stream::ALL {
        log.finish(stream, SystemTime::now())?;
    }
    Ok(())
}

fn kill_writers() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let mut numbers = Numbers(0x5eed_0003);
    let mut kills = 0;
    loop {
        let mut writer = start(folder.path().as_os_str())?;
        let rounds = numbers.below(MOST_ROUNDS) + 1;
        let grants = vec![b'.'; usize::try_from(rounds)?];
        // Kept open: the writer waits at the end of its grants. A pipe holds them all.
        let mut stdin = writer.stdin.take().ok_or("the writer has no input")?;
        stdin.write_all(&grants)?;
        let ended = wait(&mut writer, numbers.below(2 * rounds))?;
        if !ended {
            // SIGKILL.
            writer.kill()?;
        }
        let status = writer.wait()?;
        match (ended, status.success()) {
            (true, true) => break,
            (true, false) => return Err(format!("the writer failed: {status}").into()),
            (false, _) => kills += 1,
        }
    }
    if kills < LEAST_KILLS {
        return Err(format!("only {kills} writers were killed").into());
    }
    compare(folder.path())?;
    let files = rotated(folder.path())?.len() + 1;
    writeln!(
        io::stdout(),
        "{kills} writers killed, {files} files, every byte once"
    )?;
    Ok(())
}

fn start(folder: &OsStr) -> io::Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(program)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// Waits for so many appends, or the process's end: true.
fn wait(writer: &mut Child, appends: u64) -> Result<bool, Failed> {
    let mut dots = writer.stdout.take().ok_or("the writer has no output")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || {
        let mut read = io::sink();
        let copied = io::copy(&mut dots.by_ref().take(appends + 1), &mut read);
        // Nobody listens after the deadline. The pipe is kept open until the writer is killed.
        sender.send((copied, dots)).ok();
    });
    let received = receiver.recv_timeout(DEADLINE);
    let Ok((copied, dots)) = received else {
        writer.kill()?;
        return Err("the writer hangs".into());
    };
    reader
        .join()
        .map_err(|_panic| "the reader of its output failed")?;
    writer.stdout = Some(dots);
    Ok(copied? < appends + 1)
}

fn compare(folder: &Path) -> Result<(), Failed> {
    let mut log: Box<dyn Read> = Box::new(io::empty());
    for path in rotated(folder)?.into_iter().chain([log_path(folder)]) {
        log = Box::new(log.chain(File::open(path)?));
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for entry in Entries::new(BufReader::new(log)) {
        let entry = entry?;
        let text = match entry.stream {
            Stream::Stdout => &mut stdout,
            Stream::Stderr => &mut stderr,
        };
        text.extend_from_slice(&entry.text);
        text.extend_from_slice(match entry.end {
            LineEnd::Newline => b"\n",
            LineEnd::Open => b"",
        });
    }
    for (stream, got) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
        let expect = output(stream);
        let same = got.iter().zip(&expect).take_while(|(a, b)| a == b).count();
        if got != expect {
            let (got, expect) = (got.len(), expect.len());
            let told = format!("{stream} differs at {same}: {got} bytes instead of {expect}");
            return Err(told.into());
        }
    }
    Ok(())
}
