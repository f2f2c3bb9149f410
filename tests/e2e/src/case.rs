//! What a test gets: the programs under test with folders of their own, and how long to wait.
//!
//! Main types: [`Setting`], the same for all tests of a run, and [`Case`], one per test. The state and its
//! configuration are the harness's [`Cofferdam`]; commands are started here, because tests talk to them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use harness::cofferdam::Cofferdam;
use harness::leftovers::Snapshot;
use rustix::process::Pid;
use toml::{Table, Value};

use crate::deadlines::{self, LOOK_AGAIN, Patience};
use crate::network;
use crate::running::{Ended, Running};
use crate::test_host;
use crate::test_image;

/// Names the folder with the programs, the guest's kernel and its image.
pub(crate) const DIST_VARIABLE: &str = "COFFERDAM_DIST";

/// What the dist folder holds that is tested here.
const PROGRAM: &str = "cofferdam";
const MONITOR: &str = "cofferdam-vmm";
const OTHER_PARTS: [&str; 5] = [
    "vmlinux",
    "guest.cpio",
    "config.toml",
    "list-tree",
    "storage-suite",
];

/// The programs under test, and a store with the test image that tests share.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) dist: PathBuf,
    patience: Patience,
    store: Arc<OnceLock<Result<Cofferdam, String>>>,
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
        for name in [PROGRAM, MONITOR].iter().chain(&OTHER_PARTS) {
            let path = self.dist.join(name);
            ensure!(
                path.is_file(),
                "{} is missing: build it with `make dist`, or set {DIST_VARIABLE}",
                path.display()
            );
        }
        Ok(())
    }

    /// The shared state; the first test that asks imports the test image into it.
    fn store(&self) -> Result<&Cofferdam> {
        let made = self
            .store
            .get_or_init(|| self.import().map_err(|error| format!("{error:#}")));
        made.as_ref()
            .map_err(|error| anyhow!("import the test image: {error}"))
    }

    fn import(&self) -> Result<Cofferdam> {
        let subject = Cofferdam::from_dist(&self.dist)?;
        let archive = subject.state().join("image.tar");
        test_image::bundle()?.write_oci_archive(&archive)?;
        let arguments = ["image", "import", &archive.to_string_lossy()];
        let command = self.command(&configuration(&subject), &arguments);
        Running::start(command)?
            .finish(self.patience.stretch(deadlines::RUN))?
            .expect_code(0)?;
        Ok(subject)
    }

    fn command(&self, configuration: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dist.join(PROGRAM));
        command.arg("--config").arg(configuration).args(arguments);
        command
    }
}

/// Where the harness writes a state's configuration.
fn configuration(subject: &Cofferdam) -> PathBuf {
    subject.state().join("config.toml")
}

/// Which images a daemon has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Images {
    /// The test image, in the store of all tests.
    Shared,
    /// A store of its own, empty at first.
    Own,
}

/// One test's own state, and what the host looked like before.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) patience: Patience,
    setting: Setting,
    subject: Cofferdam,
    before: Snapshot,
}

impl Case {
    pub(crate) fn new(setting: &Setting) -> Result<Self> {
        let subject = Cofferdam::from_dist(&setting.dist)?;
        let before = Snapshot::take(&pods(&subject));
        Ok(Self {
            patience: setting.patience,
            setting: setting.clone(),
            subject,
            before,
        })
    }

    /// The programs under test, and all that they need.
    pub(crate) fn dist(&self) -> &Path {
        &self.setting.dist
    }

    /// A folder of the test's own; it goes with the test.
    pub(crate) fn folder(&self) -> &Path {
        self.subject.state()
    }

    /// Where [`Self::cofferdam`] keeps its images: a store of the test's own, empty at first.
    pub(crate) fn own_state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// A command of the program under test with a store of the test's own.
    pub(crate) fn cofferdam(&self, arguments: &[&str]) -> Result<Command> {
        let file = self.configured("own", Table::new())?;
        Ok(self.setting.command(&file, arguments))
    }

    /// A run of the test image.
    pub(crate) fn run_command(&self, flags: &[&str], command: &[&str]) -> Result<Command> {
        self.run_command_with("", flags, command)
    }

    /// A run of the test image under a configuration with these lines laid over the usual one.
    fn run_command_with(&self, over: &str, flags: &[&str], command: &[&str]) -> Result<Command> {
        let mut lines = over
            .parse::<Table>()
            .context("read the lines laid over the configuration")?;
        let state = self.setting.store()?.state().join("state");
        lines.insert(
            "state_dir".to_owned(),
            Value::String(state.to_string_lossy().into_owned()),
        );
        let file = self.configured("shared", lines)?;
        let arguments = [
            &["run", "--image", test_image::NAME],
            flags,
            &["--"],
            command,
        ]
        .concat();
        Ok(self.setting.command(&file, &arguments))
    }

    /// The daemon, with records of its own and these images, under a configuration with these keys laid over the
    /// usual one. Its socket is [`Self::socket`].
    pub(crate) fn daemon_command(&self, images: Images, over: &Table) -> Result<Command> {
        let state = self.folder().join("daemon");
        fs::create_dir_all(&state).context("make the daemon's folder")?;
        let own = self.daemon_images();
        if images == Images::Shared && !own.exists() {
            let shared = self.setting.store()?.state().join("state/images");
            std::os::unix::fs::symlink(shared, &own).context("link the shared images")?;
        }
        let state = Value::String(state.to_string_lossy().into_owned());
        let network = Value::Table(network::prepare(&self.network_folder())?);
        let mut over = over.clone();
        over.insert("state_dir".to_owned(), state);
        over.insert("network".to_owned(), network);
        let file = self.configured("daemon", over)?;
        Ok(self.setting.command(&file, &["serve"]))
    }

    /// The daemon's image store.
    pub(crate) fn daemon_images(&self) -> PathBuf {
        self.folder().join("daemon/images")
    }

    /// What the CNI plugins of the daemon's pods are told, and what they keep.
    pub(crate) fn network_folder(&self) -> PathBuf {
        self.folder().join("network")
    }

    /// Where the daemon listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("run/cri.sock")
    }

    /// The harness's configuration with some keys said anew.
    fn configured(&self, name: &str, over: Table) -> Result<PathBuf> {
        let usual =
            fs::read_to_string(configuration(&self.subject)).context("read the configuration")?;
        let mut configuration = usual.parse::<Table>().context("read the configuration")?;
        configuration.insert(
            "deadline_scale".to_owned(),
            Value::Integer(self.patience.scale().into()),
        );
        configuration.extend(over);
        let file = self.folder().join(format!("{name}.toml"));
        fs::write(&file, configuration.to_string()).context("write the configuration")?;
        Ok(file)
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

    /// The same with the configuration of the daemon that has been started.
    pub(crate) fn tell_of_daemon(&self, arguments: &[&str]) -> Result<Ended> {
        let file = self.folder().join("daemon.toml");
        let command = self.setting.command(&file, arguments);
        self.finish(command, deadlines::COMMAND)
    }

    pub(crate) fn finish(&self, command: Command, within: Duration) -> Result<Ended> {
        Running::start(command)?.finish(self.patience.stretch(within))
    }

    /// The monitor that runs now; waits for it to appear. Tests run one at a time, so there is no other.
    pub(crate) fn monitor(&self) -> Result<Pid> {
        let deadline = Instant::now() + self.patience.stretch(deadlines::STEP);
        loop {
            if let Some(monitor) = processes(MONITOR).first() {
                return Ok(*monitor);
            }
            ensure!(
                Instant::now() < deadline,
                "no process called {MONITOR} appeared"
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Waits until no monitor runs any more.
    pub(crate) fn no_monitor(&self) -> Result<()> {
        let deadline = Instant::now() + self.patience.stretch(deadlines::STEP);
        loop {
            let left = processes(MONITOR);
            if left.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "a process called {MONITOR} is still there: {left:?}"
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// The run folders of pods that this test's state has.
    pub(crate) fn run_folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(pods(&self.subject)).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// Waits until the host is as it was before the test: a process that was killed takes a moment to go.
    pub(crate) fn nothing_left(&self) -> Result<()> {
        let deadline = Instant::now() + self.patience.stretch(deadlines::STEP);
        loop {
            let now = Snapshot::take(&pods(&self.subject));
            let left = now.new_since(&self.before);
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("left behind: {left:#?}");
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}

/// Where a state keeps a folder for each live pod.
fn pods(subject: &Cofferdam) -> PathBuf {
    subject.state().join("run/pods")
}

/// Running processes of this name, which the kernel keeps to 15 bytes (proc_pid_comm(5)).
fn processes(name: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let called = pids.filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    called.filter_map(Pid::from_raw).collect()
}
