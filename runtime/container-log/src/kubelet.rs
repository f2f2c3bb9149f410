//! For tests: the folder of a container's logs, and what kubelet does in it. Main type: [`Kubelet`].

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::limits;
use crate::line::Stream;
use crate::log_file::LogFile;
use crate::read::{Entries, LineEnd};

#[derive(Debug)]
pub(crate) struct Kubelet {
    folder: TempDir,
    renamed: Vec<PathBuf>,
}

impl Kubelet {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        Self {
            folder,
            renamed: Vec::new(),
        }
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.logs().join("0.log")
    }

    /// Not in the folder of the logs, as in life.
    pub(crate) fn position(&self) -> PathBuf {
        self.folder.path().join("position")
    }

    pub(crate) fn create(&self) -> LogFile {
        LogFile::create(&self.log(), &self.position()).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(fs::read(self.log()).unwrap()).unwrap()
    }

    /// The first half of a rotation. Where no log is, kubelet only asks for a new one.
    pub(crate) fn rename(&mut self) {
        let number = self.renamed.len();
        let to = self.logs().join(format!("0.log.20261122-{number:06}"));
        if fs::rename(self.log(), &to).is_ok() {
            self.renamed.push(to);
        }
    }

    /// After a call for a new log that failed. It replaces a new log that is there.
    pub(crate) fn rename_back(&mut self) {
        if let Some(from) = self.renamed.pop() {
            fs::rename(from, self.log()).unwrap();
        }
    }

    /// All files, oldest first, as one log.
    pub(crate) fn entries(&self) -> Entries<BufReader<Box<dyn Read>>> {
        let mut all: Box<dyn Read> = Box::new(Cursor::new([]));
        for path in self.renamed.iter().chain([&self.log()]) {
            if let Ok(file) = File::open(path) {
                all = Box::new(all.chain(file));
            }
        }
        Entries::new(BufReader::with_capacity(limits::LINE_BYTES, all))
    }

    /// What the logs have of both streams.
    pub(crate) fn streams(&self) -> [Vec<u8>; 2] {
        let mut streams = [Vec::new(), Vec::new()];
        for entry in self.entries() {
            let entry = entry.unwrap();
            let stream = &mut streams[index(entry.stream)];
            stream.extend_from_slice(&entry.text);
            if entry.end == LineEnd::Newline {
                stream.push(b'\n');
            }
        }
        streams
    }
}

pub(crate) fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// 10:00 and so many seconds.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_341_600 + seconds)
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
