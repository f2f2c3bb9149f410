//! `make conformance CRITEST=path`: the public tests of the Container Runtime Interface (critest of kubernetes-sigs/cri-tools)
//! against `cofferdam serve`, with images of our own from a registry on loopback.
//!
//! ```text
//! prepare (here): debian ─► images ─► a registry's folder
//! on_node (here with KVM, else in the test host): node ─► critest ─► report, against expected ─► what is printed
//!                                                    └──► crictl, where CRICTL says where it is
//! ```
//!
//! It fails when a spec fails that is not in the table `expected-skips`, which gives a reason for each line.

mod crictl;
mod critest;
mod deadlines;
mod debian;
mod expected;
mod images;
mod nginx;
mod node;
mod report;
mod sandboxes;
mod userland;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use harness::registry::Storage;
use testbed::{Options, Outcome, hardware};

const DIST_VARIABLE: &str = "COFFERDAM_DIST";
const CRITEST_VARIABLE: &str = "CRITEST";
const CRICTL_VARIABLE: &str = "CRICTL";
const FOCUS_VARIABLE: &str = "FOCUS";
/// "websocket" makes critest speak WebSocket for exec, attach and port-forward; else it speaks SPDY.
const STREAMS_VARIABLE: &str = "STREAMS";
const PASSED_ON: [&str; 5] = [
    DIST_VARIABLE,
    CRITEST_VARIABLE,
    CRICTL_VARIABLE,
    FOCUS_VARIABLE,
    STREAMS_VARIABLE,
];

const NO_CRITEST: &str = "critest is needed, version 1.36: take it from the archive critest-v1.36.0-linux-amd64.tar.gz of \
     https://github.com/kubernetes-sigs/cri-tools/releases, or build it there with `make critest`, \
     and say where it is: make conformance CRITEST=/path/to/critest";

fn main() -> Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [folder] => start(&std::path::absolute(folder).context("find the folder")?),
        ["on-node", storage, results] => on_node(Path::new(storage), Path::new(results)),
        _ => bail!("usage: conformance FOLDER (make conformance calls it)"),
    }
}

/// The images first, then the tests: here where VMs can run, else in the test host.
fn start(folder: &Path) -> Result<ExitCode> {
    let tools = Tools::find()?;
    let results = folder.join("results");
    std::fs::create_dir_all(&results).with_context(|| format!("create {}", results.display()))?;
    let storage = folder.join("registry");
    eprintln!("conformance: making the images that critest wants");
    images::put_all(&tools.dist, &Storage::new(&storage)?, folder)?;
    let Some(reason) = hardware::why_no_guests() else {
        return on_node(&storage, &results);
    };
    eprintln!("{reason}: using the nested test host");
    eprintln!("conformance: logs go to {}", results.display());
    let this = env::current_exe().context("find this program")?;
    let command = [this.as_path(), Path::new("on-node"), &storage]
        .map(|word| word.to_string_lossy().into_owned());
    let command = command.into_iter().chain(["/results".to_owned()]).collect();
    let init = tools.dist.join("testbed-init");
    let options = Options {
        command,
        environment: environment(&tools)?,
        timeout: deadlines::WHOLE_RUN,
        results: Some(results),
        init: init.is_file().then_some(init),
        ..Options::default()
    };
    match testbed::run(&options).context("run the tests in the test host")? {
        Outcome::Exited(code) => Ok(ExitCode::from(code)),
        Outcome::TimedOut => bail!("the tests took longer than {:?}", deadlines::WHOLE_RUN),
        Outcome::HostDied { reason, console } => {
            bail!("the test host died twice: {reason}\n{console}")
        }
    }
}

fn environment(tools: &Tools) -> Result<Vec<(String, String)>> {
    let mut environment = vec![("COFFERDAM_TESTBED".to_owned(), "1".to_owned())];
    for name in PASSED_ON {
        if let Some(value) = tools.variable(name)? {
            environment.push((name.to_owned(), value));
        }
    }
    Ok(environment)
}

/// Everything that needs VMs.
fn on_node(storage: &Path, results: &Path) -> Result<ExitCode> {
    let tools = Tools::find()?;
    let node = node::Node::start(&tools.dist, &Storage::new(storage)?, results)?;
    let talked = match &tools.crictl {
        Some(crictl) => crictl::try_out(crictl, &node, results)?,
        None => true,
    };
    let wanted = critest::Wanted {
        focus: tools.focus.as_deref(),
        websocket: tools.websocket,
    };
    let report = critest::run(&tools.critest, &wanted, &node, results)?;
    let table = expected::table()?;
    let told = expected::compare(&report, &table);
    write!(std::io::stdout().lock(), "{told}").context("print the results")?;
    Ok(ExitCode::from(u8::from(!(told.is_good() && talked))))
}

/// What was given by the environment.
struct Tools {
    dist: PathBuf,
    critest: PathBuf,
    crictl: Option<PathBuf>,
    focus: Option<String>,
    websocket: bool,
}

impl Tools {
    fn find() -> Result<Self> {
        let path = |name| -> Result<Option<PathBuf>> {
            let given = env::var_os(name).filter(|value| !value.is_empty());
            let path = given.map(std::path::absolute).transpose();
            let path = path.with_context(|| format!("find {name}"))?;
            if let Some(path) = &path {
                ensure!(
                    path.exists(),
                    "{name}={}: there is no such file",
                    path.display()
                );
            }
            Ok(path)
        };
        Ok(Self {
            critest: path(CRITEST_VARIABLE)?.context(NO_CRITEST)?,
            crictl: path(CRICTL_VARIABLE)?,
            dist: path(DIST_VARIABLE)?.with_context(|| {
                format!("{DIST_VARIABLE} says where `make dist` put the programs")
            })?,
            focus: env::var(FOCUS_VARIABLE)
                .ok()
                .filter(|focus| !focus.is_empty()),
            websocket: match env::var(STREAMS_VARIABLE).unwrap_or_default().as_str() {
                "" | "spdy" => false,
                "websocket" => true,
                other => bail!("{STREAMS_VARIABLE}={other}: it is spdy or websocket"),
            },
        })
    }

    /// As this was given, with whole paths: the test host starts elsewhere.
    fn variable(&self, name: &str) -> Result<Option<String>> {
        let path = match name {
            DIST_VARIABLE => Some(&self.dist),
            CRITEST_VARIABLE => Some(&self.critest),
            CRICTL_VARIABLE => self.crictl.as_ref(),
            STREAMS_VARIABLE => return Ok(self.websocket.then(|| "websocket".to_owned())),
            _ => return Ok(self.focus.clone()),
        };
        let text = path.map(|path| path.to_str().with_context(|| format!("{name} is text")));
        Ok(text.transpose()?.map(str::to_owned))
    }
}
