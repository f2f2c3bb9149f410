//! Where the tests run: here, or in nested test hosts, as many at once as this machine has places for. In each of them this same
//! program is started again, as a worker. Main types: [`TestHosts`], [`Worker`].
//!
//! The test host sees this machine's files at the same paths, so nothing is copied. Both sides meet in a folder that the host sees as
//! `/results`: the file `request` names the next test, and the worker answers in a file of the same number. Either file appears whole.
//! A host that dies is replaced by the test bed once; its successor finds the same request, and no answer.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use testbed::{Options, Outcome};

use crate::case::{DIST_VARIABLE, Setting};
use crate::deadlines::{LOOK_AGAIN, SCALE_VARIABLE};

/// What is said of a guest that died early. An emulated processor does that to about one boot in a hundred: flags of the interrupted code
/// come back wrong.
pub(crate) const WHILE_BOOTING: &str = "VM ended while booting";

/// Set inside the test host.
pub(crate) const INSIDE_VARIABLE: &str = "COFFERDAM_TESTBED";

/// The first argument of a worker.
pub(crate) const WORKER: &str = "--worker";

/// Variables that mean the same on both sides.
const PASSED_ON: &[&str] = &[
    SCALE_VARIABLE,
    crate::cri_many::PODS_VARIABLE,
    crate::cri_streaming::STREAM_MIB_VARIABLE,
    crate::image_compare::KERNEL_MOUNT_VARIABLE,
    crate::vfio_nodes::KERNEL_VARIABLE,
    "RUST_BACKTRACE",
];

const REQUEST: &str = "request";

/// In place of a test's name.
const END: &str = "end";

pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE_VARIABLE).is_some_and(|value| value == "1")
}

/// Whether a test host has started this program.
pub(crate) fn is_worker() -> bool {
    is_inside() && env::args_os().nth(1).is_some_and(|word| word == WORKER)
}

/// Why the tests can't run on this host; nothing where they can.
pub(crate) fn why_needed() -> Option<String> {
    testbed::hardware::why_no_guests()
}

/// The test hosts of one run. Each is started when a test finds none that is idle.
pub(crate) struct TestHosts {
    options: Options,
    idle: Mutex<Vec<TestHost>>,
}

impl TestHosts {
    /// Starts none yet.
    pub(crate) fn new(setting: &Setting, reason: &str) -> Result<Arc<Self>> {
        eprintln!("{reason}: the tests run inside nested test hosts");
        let this = env::current_exe().context("find this program")?;
        let this = this.to_str().context("this program's path is text")?;
        let init = setting.dist.join("testbed-init");
        let options = Options {
            command: vec![this.to_owned(), WORKER.to_owned()],
            environment: environment(setting)?,
            init: init.is_file().then_some(init),
            ..Options::default()
        };
        Ok(Arc::new(Self {
            options,
            idle: Mutex::default(),
        }))
    }

    /// How many tests run at once.
    pub(crate) fn places() -> usize {
        testbed::places()
    }

    /// Runs one test in one of them.
    ///
    /// # Errors
    /// What the test says, or how its host died.
    pub(crate) fn run(&self, test: &str) -> Result<(), String> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let host = match idle {
            Some(host) => Ok(host),
            None => TestHost::start(self.options.clone()),
        };
        let mut host = host.map_err(|error| format!("{error:#}"))?;
        let answer = host.ask(test);
        match answer {
            Ok(answer) => {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.push(host);
                answer
            }
            // The next test starts another one.
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Ends them.
    pub(crate) fn end(&self) -> Result<()> {
        let hosts = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        hosts.into_iter().try_for_each(TestHost::end)
    }
}

/// One test host with a worker in it.
struct TestHost {
    folder: TempDir,
    /// Of the last request.
    number: u64,
    host: JoinHandle<testbed::Result<Outcome>>,
}

impl TestHost {
    fn start(mut options: Options) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for requests and answers")?;
        options.results = Some(folder.path().to_owned());
        let host = thread::Builder::new().name("test host".to_owned());
        let host = host.spawn(move || testbed::run(&options));
        Ok(Self {
            folder,
            number: 0,
            host: host.context("start a thread")?,
        })
    }

    /// Has a test run; what it says, or how the host ended instead.
    fn ask(&mut self, test: &str) -> Result<Result<(), String>> {
        self.request(test)?;
        let answer = self.folder.path().join(self.number.to_string());
        loop {
            // Looked at before the answer: an answer may be the last thing that a host does.
            let over = self.host.is_finished();
            match fs::read_to_string(&answer) {
                Ok(text) if text.is_empty() => return Ok(Ok(())),
                Ok(text) => return Ok(Err(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("read the worker's answer"),
            }
            if over {
                bail!("the test host ended in the middle of the test");
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    fn request(&mut self, test: &str) -> Result<()> {
        self.number += 1;
        let text = format!("{} {test}", self.number);
        put(self.folder.path(), REQUEST, &text).context("ask a worker")
    }

    fn end(mut self) -> Result<()> {
        self.request(END)?;
        let Ok(outcome) = self.host.join() else {
            bail!("the thread of a test host panicked");
        };
        match outcome.context("run the tests in the test host")? {
            Outcome::Exited(0) => Ok(()),
            Outcome::Exited(code) => bail!("a worker ended with {code}"),
            Outcome::TimedOut => bail!("a test host ran out of time"),
            Outcome::HostDied { reason, console } => {
                bail!("the test host died twice: {reason}\n{console}")
            }
        }
    }
}

/// Runs the tests that it is asked for, inside a test host.
pub(crate) struct Worker {
    folder: PathBuf,
}

impl Worker {
    pub(crate) fn new() -> Self {
        Self {
            folder: testbed::control::RESULTS_MOUNT.into(),
        }
    }

    /// Until it is told to end. `run` runs a test by its name.
    pub(crate) fn serve(&self, run: impl Fn(&str) -> Result<(), String>) -> Result<()> {
        loop {
            let Some((number, test)) = self.next_request()? else {
                thread::park_timeout(LOOK_AGAIN);
                continue;
            };
            if test == END {
                return Ok(());
            }
            let answer = match run(&test) {
                Ok(()) => String::new(),
                Err(error) if error.is_empty() => "it failed without a word".to_owned(),
                Err(error) => error,
            };
            put(&self.folder, &number, &answer).context("answer")?;
        }
    }

    /// One that has no answer yet.
    fn next_request(&self) -> Result<Option<(String, String)>> {
        let text = match fs::read_to_string(self.folder.join(REQUEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.context("read the request")?,
        };
        let (number, test) = text.split_once(' ').context("a number and a test")?;
        let answered = self.folder.join(number).exists();
        Ok((!answered).then(|| (number.to_owned(), test.to_owned())))
    }
}

/// Writes a file that appears whole.
fn put(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, text)?;
    fs::rename(new, folder.join(name))
}

fn environment(setting: &Setting) -> Result<Vec<(String, String)>> {
    let dist = setting
        .dist
        .to_str()
        .context("the dist folder's path is text")?;
    let mut environment = vec![
        (INSIDE_VARIABLE.to_owned(), "1".to_owned()),
        (DIST_VARIABLE.to_owned(), dist.to_owned()),
    ];
    for name in PASSED_ON {
        if let Ok(value) = env::var(name) {
            environment.push(((*name).to_owned(), value));
        }
    }
    Ok(environment)
}
