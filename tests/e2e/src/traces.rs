//! What a run may leave on a host: processes, mounts, cgroups, network, folders. Compared before and after each test.
//!
//! Main type: [`Traces`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Pid;

use crate::deadlines::LOOK_AGAIN;

/// Names of our programs, as the kernel keeps them (15 bytes, proc_pid_comm(5)).
const PROGRAMS: &[&str] = &["cofferdam", "cofferdam-vmm"];

/// Folders whose new entries are traces.
const FOLDERS: &[&str] = &[
    "/run",
    "/run/netns",
    "/tmp",
    "/var/lib",
    "/dev/shm",
    "/sys/class/net",
];

/// How the tests' own folders begin.
pub(crate) const OWN_PREFIX: &str = "e2e-";

const CGROUPS: &str = "/sys/fs/cgroup";

/// How deep cgroups are looked at.
const CGROUP_DEPTH: u32 = 4;

/// Everything found at one moment, each as a line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traces {
    found: BTreeSet<String>,
    /// On a host of its own every new thing is ours; elsewhere only what carries our name.
    alone: bool,
}

impl Traces {
    pub(crate) fn look(alone: bool) -> Self {
        let mut found = BTreeSet::new();
        for name in PROGRAMS {
            found.extend(
                processes(name)
                    .iter()
                    .map(|pid| format!("process {} ({name})", pid.as_raw_nonzero())),
            );
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        found.extend(mounts.lines().map(|line| format!("mount {line}")));
        for folder in FOLDERS {
            found.extend(
                names(Path::new(folder))
                    .into_iter()
                    .filter(|name| !name.starts_with(OWN_PREFIX))
                    .map(|name| format!("{folder}/{name}")),
            );
        }
        cgroups(Path::new(CGROUPS), CGROUP_DEPTH, &mut found);
        Self { found, alone }
    }

    /// Waits until nothing is there that was not there before: a process that was killed takes a moment to go.
    pub(crate) fn wait_until_gone(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let now = Self::look(self.alone);
            let left: Vec<&String> = now
                .found
                .difference(&self.found)
                .filter(|line| self.is_ours(line))
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("left behind: {left:#?}");
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    fn is_ours(&self, line: &str) -> bool {
        self.alone || line.contains("cofferdam")
    }
}

/// Running processes of this name. A zombie is one too: its parent has forgotten it.
pub(crate) fn processes(name: &str) -> Vec<Pid> {
    let pids = names(Path::new("/proc"))
        .into_iter()
        .filter_map(|entry| entry.parse::<i32>().ok());
    let called = pids.filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    called.filter_map(Pid::from_raw).collect()
}

fn cgroups(folder: &Path, depth: u32, found: &mut BTreeSet<String>) {
    if depth == 0 {
        return;
    }
    let children = names(folder)
        .into_iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_dir());
    for child in children {
        found.insert(format!("cgroup {}", child.display()));
        cgroups(&child, depth - 1, found);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
