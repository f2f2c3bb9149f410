//! One run folder and what is launched in it. Main type: [`Scene`]. Probes what the host has and says aloud what it lacks.

use std::{
    fs::File,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use vm_client::{Deadlines, Identity, LaunchPlan, Lifetime, Monitor, Processors};

/// For anything that happens at once on a host that is not stuck.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An id that nobody else on a host should have.
const NOBODY: u32 = 60_123;

/// These tests also run where virtualisation is emulated.
pub(crate) fn patience() -> Deadlines {
    Deadlines::scaled(10)
}

/// A place to launch in.
#[derive(Debug)]
pub(crate) struct Scene {
    folder: TempDir,
    program: PathBuf,
}

impl Scene {
    /// `None` where machines can't be launched; the reason is printed.
    pub(crate) fn set() -> Option<Self> {
        let missing = |what: &str| {
            eprintln!("SKIPPED: {what}");
            None
        };
        if !rustix::process::geteuid().is_root() {
            return missing("launching a monitor needs root");
        }
        if File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
        {
            return missing("launching a monitor needs /dev/kvm");
        }
        let program = program();
        if !program.exists() {
            return missing("cofferdam-vmm is not built: cargo build -p vmm");
        }
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            program,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn plan(&self, code: &[u8]) -> LaunchPlan {
        LaunchPlan {
            program: self.program.clone(),
            run_folder: self.folder().to_owned(),
            cgroup: None,
            name: "test".to_owned(),
            identity: Identity {
                uid: NOBODY,
                gid: NOBODY,
            },
            lifetime: Lifetime::WithLauncher,
            processors: Processors { boot: 1, max: 2 },
            memory_bytes: 64 << 20,
            command_line: String::new(),
            kernel: crate::guest::kernel(code),
            guest_image: None,
            console: None,
            disks: Vec::new(),
            nics: Vec::new(),
            vfio: None,
            later_functions: 0,
            deadlines: patience(),
        }
    }

    pub(crate) async fn launch(&self, code: &[u8]) -> Monitor {
        let launched = soon(Monitor::launch(self.plan(code))).await;
        launched
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
            .0
    }
}

/// The one of a finished build that COFFERDAM_DIST names, or that beside the folder of the test programs, which
/// `cargo build -p vmm` makes.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = || test.parent().and_then(Path::parent).unwrap().to_owned();
    let folder = std::env::var_os("COFFERDAM_DIST").map_or_else(built, PathBuf::from);
    folder.join("cofferdam-vmm")
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future)
        .await
        .expect("it should have happened by now")
}

/// How many threads and how many descriptors a monitor has. Not the thread that KVM gives it when its first processor runs (`arch/x86/kvm/mmu/mmu.c`,
/// kvm_mmu_start_lpage_recovery).
pub(crate) fn threads_and_descriptors(pid: u32) -> (usize, usize) {
    let entries = |folder: &str| std::fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap();
    // The name of one that has ended meanwhile can't be read.
    let is_ours = |task: std::io::Result<std::fs::DirEntry>| {
        let name = std::fs::read_to_string(task.unwrap().path().join("comm"));
        name.is_ok_and(|name| !name.starts_with("kvm-nx-lpage"))
    };
    let threads = entries("task").filter_map(|task| is_ours(task).then_some(()));
    (threads.count(), entries("fd").count())
}

/// Waits until a monitor has as many threads and descriptors again: a thread ends a moment after its last handle.
pub(crate) async fn has_again(pid: u32, before: (usize, usize)) {
    soon(async {
        while threads_and_descriptors(pid) != before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until a process is gone, also as a zombie.
pub(crate) async fn gone(pid: u32) {
    let path = PathBuf::from(format!("/proc/{pid}"));
    soon(async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
