//! A folder of the host and a server for it. Main type: [`Scene`]. Probes what the host has and says aloud what it lacks.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use share_client::{Access, Server, ServerPlan};
use tempfile::TempDir;

use crate::fuse::Guest;

/// For anything that happens at once on a host that is not stuck.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A host folder, a server, and its guest.
pub(crate) struct Scene {
    pub(crate) host: TempDir,
    pub(crate) server: Server,
    pub(crate) guest: Guest,
}

/// How to launch the server; `None` where that can't be done. The reason is printed.
pub(crate) fn plan() -> Option<ServerPlan> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: launching a share server needs root");
        return None;
    }
    let program = program();
    if !program.exists() {
        eprintln!("SKIPPED: cofferdam-share is not built: cargo build -p share");
        return None;
    }
    Some(ServerPlan {
        program,
        cgroup: None,
        deadline: SOON,
    })
}

/// The one of a finished build that COFFERDAM_DIST names, or that beside the folder of the test programs.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = || test.parent().and_then(Path::parent).unwrap().to_owned();
    let folder = std::env::var_os("COFFERDAM_DIST").map_or_else(built, PathBuf::from);
    folder.join("cofferdam-share")
}

impl Scene {
    pub(crate) fn set() -> Option<Self> {
        let (server, socket) = Server::launch(&plan()?).unwrap();
        let guest = Guest::new(socket);
        Some(Self {
            host: tempfile::tempdir().unwrap(),
            server,
            guest,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.path().join(name)
    }

    /// Shares the host folder and gives the guest's number for it.
    pub(crate) fn share(&mut self, access: Access) -> u64 {
        let name = self.server.add(self.host.path(), access).unwrap();
        self.guest.lookup(1, &name).unwrap()
    }

    /// How many mounts the server sees.
    pub(crate) fn mounts(&self) -> usize {
        let path = format!("/proc/{}/mountinfo", self.server.record().pid);
        std::fs::read_to_string(path).unwrap().lines().count()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.end(SOON).unwrap();
        }
    }
}

/// Waits for a condition.
pub(crate) fn soon(what: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !what() {
        assert!(Instant::now() < until, "it should have happened by now");
        std::thread::yield_now();
    }
}
