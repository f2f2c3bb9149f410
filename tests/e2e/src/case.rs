//! What a test gets: the programs under test with folders of their own, and how long to wait.
//!
//! Main types: [`Setting`], the same for all tests of a run, and [`Case`], one per test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Pid;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::deadlines::{self, LOOK_AGAIN, Patience};
use crate::running::{Ended, Running};
use crate::test_host;
use crate::test_image;
use crate::traces::{self, Traces};

/// Names the folder with the programs, the guest's kernel and its image.
pub(crate) const DIST_VARIABLE: &str = "COFFERDAM_DIST";

/// What the dist folder holds, besides the test host's own parts.
const PROGRAM: &str = "cofferdam";
const MONITOR: &str = "cofferdam-vmm";
const KERNEL: &str = "vmlinux";
const GUEST_IMAGE: &str = "guest.cpio";

/// The programs under test, and the store with the test image that tests share.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) dist: PathBuf,
    patience: Patience,
    store: Arc<OnceLock<Result<TempDir, String>>>,
}

impl Setting {
    pub(crate) fn from_environment() -> Result<Self> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/dist");
        let dist = env::var_os(DIST_VARIABLE).map_or(built, PathBuf::from);
        let dist =
            std::path::absolute(&dist).with_context(|| format!("find {}", dist.display()))?;
        let scale = env::var(deadlines::SCALE_VARIABLE).ok();
        let patience = Patience::new(scale.as_deref(), test_host::is_inside())?;
        Ok(Self {
            dist,
            patience,
            store: Arc::default(),
        })
    }

    /// Looks for everything that is tested, so that a missing build is said once and not by every test.
    pub(crate) fn check(&self) -> Result<()> {
        for name in [PROGRAM, MONITOR, KERNEL, GUEST_IMAGE] {
            let path = self.dist.join(name);
            ensure!(
                path.is_file(),
                "{} is missing: build it with `make dist`, or set {DIST_VARIABLE}",
                path.display()
            );
        }
        Ok(())
    }

    /// The folder of the shared store; the first test that asks imports the test image into it.
    fn store(&self) -> Result<&Path> {
        let made = self
            .store
            .get_or_init(|| self.import().map_err(|error| format!("{error:#}")));
        made.as_ref()
            .map(TempDir::path)
            .map_err(|error| anyhow!("import the test image: {error}"))
    }

    fn import(&self) -> Result<TempDir> {
        let folder = folder("store")?;
        let archive = folder.path().join("image.tar");
        test_image::archive()?.write(&archive)?;
        let configuration =
            self.configuration(&folder.path().join("state"), &folder.path().join("run"));
        let file = folder.path().join("config.toml");
        fs::write(&file, configuration.to_string()).context("write the configuration")?;
        let mut command = Command::new(self.dist.join(PROGRAM));
        command
            .arg("--config")
            .arg(&file)
            .args(["image", "import", "--name", test_image::NAME])
            .arg(&archive);
        Running::start(command)?
            .finish(self.patience.stretch(deadlines::RUN))?
            .expect_code(0)?;
        Ok(folder)
    }

    fn configuration(&self, state: &Path, run: &Path) -> Table {
        let paths = [
            ("kernel", self.dist.join(KERNEL)),
            ("guest_image", self.dist.join(GUEST_IMAGE)),
            ("monitor", self.dist.join(MONITOR)),
            ("state_dir", state.to_owned()),
            ("run_dir", run.to_owned()),
        ];
        let text = |path: PathBuf| Value::String(path.to_string_lossy().into_owned());
        let mut table: Table = paths
            .into_iter()
            .map(|(key, path)| (key.to_owned(), text(path)))
            .collect();
        table.insert(
            "deadline_scale".to_owned(),
            Value::Integer(self.patience.scale().into()),
        );
        table
    }
}

/// One test's own folders, and what the host looked like before.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) patience: Patience,
    setting: Setting,
    folder: TempDir,
    before: Traces,
}

impl Case {
    pub(crate) fn new(setting: &Setting) -> Result<Self> {
        let folder = folder("case")?;
        let before = Traces::look(test_host::is_inside());
        Ok(Self {
            patience: setting.patience,
            setting: setting.clone(),
            folder,
            before,
        })
    }

    /// A folder of the test's own; it goes with the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the program under test keeps its live pods.
    fn run_folder(&self) -> PathBuf {
        self.folder().join("run")
    }

    /// Where [`Self::cofferdam`] keeps its images: a store of the test's own, empty at first.
    pub(crate) fn own_state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// A command of the program under test with an empty store.
    pub(crate) fn cofferdam(&self, arguments: &[&str]) -> Result<Command> {
        self.configured("own", &self.own_state(), "", arguments)
    }

    /// A run of the test image.
    pub(crate) fn run_command(&self, flags: &[&str], command: &[&str]) -> Result<Command> {
        self.run_command_with("", flags, command)
    }

    /// A run of the test image under a configuration with these lines laid over the usual one.
    fn run_command_with(&self, over: &str, flags: &[&str], command: &[&str]) -> Result<Command> {
        let arguments = [
            &["run", "--image", test_image::NAME],
            flags,
            &["--"],
            command,
        ]
        .concat();
        let state = self.setting.store()?.join("state");
        self.configured("shared", &state, over, &arguments)
    }

    fn configured(
        &self,
        name: &str,
        state: &Path,
        over: &str,
        arguments: &[&str],
    ) -> Result<Command> {
        let mut configuration = self.setting.configuration(state, &self.run_folder());
        configuration.extend(
            over.parse::<Table>()
                .context("read the lines laid over the configuration")?,
        );
        let file = self.folder().join(format!("{name}.toml"));
        fs::write(&file, configuration.to_string()).context("write the configuration")?;
        let mut command = Command::new(self.setting.dist.join(PROGRAM));
        command.arg("--config").arg(file).args(arguments);
        Ok(command)
    }

    pub(crate) fn start(&self, flags: &[&str], command: &[&str]) -> Result<Running> {
        Running::start(self.run_command(flags, command)?)
    }

    pub(crate) fn run(&self, flags: &[&str], command: &[&str]) -> Result<Ended> {
        self.finish(self.run_command(flags, command)?, deadlines::RUN)
    }

    pub(crate) fn run_with_configuration(&self, over: &str, command: &[&str]) -> Result<Ended> {
        self.finish(self.run_command_with(over, &[], command)?, deadlines::RUN)
    }

    /// A command that starts no VM, with the test's own store.
    pub(crate) fn tell(&self, arguments: &[&str]) -> Result<Ended> {
        self.finish(self.cofferdam(arguments)?, deadlines::COMMAND)
    }

    pub(crate) fn finish(&self, command: Command, within: Duration) -> Result<Ended> {
        Running::start(command)?.finish(self.patience.stretch(within))
    }

    /// The monitor that runs now; waits for it to appear. Tests run one at a time, so there is no other.
    pub(crate) fn monitor(&self) -> Result<Pid> {
        let deadline = Instant::now() + self.patience.stretch(deadlines::STEP);
        loop {
            if let Some(monitor) = traces::processes(MONITOR).first() {
                return Ok(*monitor);
            }
            ensure!(
                Instant::now() < deadline,
                "no process called {MONITOR} appeared"
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Checks that the host is as it was, and that no pod's folder is left.
    pub(crate) fn nothing_left(&self) -> Result<()> {
        self.before
            .wait_until_gone(self.patience.stretch(deadlines::STEP))?;
        let pods = self.run_folder().join("pods");
        let left: Vec<PathBuf> = fs::read_dir(pods)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }
}

fn folder(what: &str) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("{}{what}-", traces::OWN_PREFIX))
        .tempdir()
        .context("make a folder")
}
