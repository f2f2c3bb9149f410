//! End-to-end tests of `cofferdam`: the programs of one dist folder, on a host that can run microVMs.
//!
//! `cargo test -p e2e` runs them here if this machine can run stock guests, and otherwise starts itself again inside
//! the nested test host (`test_host.rs`). Every test gets a [`Case`](case::Case) of its own and must leave nothing
//! behind. They run one at a time; a test of two VMs at once starts both.

mod case;
mod daemon;
mod deadlines;
mod mounting;
mod network;
mod running;
mod terminal;
mod test_host;
mod test_image;
mod whole_run;

mod check;
mod cri_cgroup;
mod cri_container;
mod cri_events;
mod cri_exec;
mod cri_image;
mod cri_kubelet;
mod cri_limits;
mod cri_log;
mod cri_many;
mod cri_metrics;
mod cri_network;
mod cri_restart;
mod cri_sandbox;
mod cri_shares;
mod cri_stop;
mod cri_volumes;
mod disk_removal;
mod frame;
mod image_compare;
mod image_import;
mod run_exit;
mod run_failures;
mod run_isolation;
mod run_limits;
mod run_output;
mod run_stdin;
mod run_tty;

use std::process::ExitCode;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};

use case::{Case, Setting};
use whole_run::WholeRun;

/// A test: its name, and what it does with the programs under test.
type Test = (&'static str, fn(&Case) -> Result<()>);

/// Every topic, in the order in which a broken build is best understood.
const TOPICS: &[(&str, &[Test])] = &[
    ("frame", frame::TESTS),
    ("check", check::TESTS),
    ("image_import", image_import::TESTS),
    ("image_compare", image_compare::TESTS),
    ("run_exit", run_exit::TESTS),
    ("run_output", run_output::TESTS),
    ("run_stdin", run_stdin::TESTS),
    ("run_tty", run_tty::TESTS),
    ("run_limits", run_limits::TESTS),
    ("run_isolation", run_isolation::TESTS),
    ("run_failures", run_failures::TESTS),
    ("disk_removal", disk_removal::TESTS),
    ("cri_image", cri_image::TESTS),
    ("cri_sandbox", cri_sandbox::TESTS),
    ("cri_container", cri_container::TESTS),
    ("cri_cgroup", cri_cgroup::TESTS),
    ("cri_log", cri_log::TESTS),
    ("cri_network", cri_network::TESTS),
    ("cri_stop", cri_stop::TESTS),
    ("cri_exec", cri_exec::TESTS),
    ("cri_limits", cri_limits::TESTS),
    ("cri_metrics", cri_metrics::TESTS),
    ("cri_events", cri_events::TESTS),
    ("cri_restart", cri_restart::TESTS),
    ("cri_kubelet", cri_kubelet::TESTS),
    ("cri_many", cri_many::TESTS),
    ("cri_volumes", cri_volumes::TESTS),
    ("cri_shares", cri_shares::TESTS),
];

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let setting = Setting::from_environment()?;
    if arguments.list {
        return Ok(libtest_mimic::run(&arguments, trials(&setting)).exit_code());
    }
    setting.check()?;
    if test_host::is_inside() {
        return Ok(libtest_mimic::run(&arguments, trials(&setting)).exit_code());
    }
    let whole = WholeRun::of(&arguments, &setting)?;
    if whole.as_ref().is_some_and(WholeRun::passed_before) && !whole_run::is_wanted_again() {
        return Ok(not_again(&arguments, &setting));
    }
    let code = match test_host::why_needed() {
        Some(reason) => test_host::run_there(&setting, &reason)?,
        None => u8::from(libtest_mimic::run(&arguments, trials(&setting)).has_failed()),
    };
    if let (0, Some(whole)) = (code, whole) {
        whole.passed()?;
    }
    Ok(ExitCode::from(code))
}

/// Names every test and runs none.
fn not_again(arguments: &Arguments, setting: &Setting) -> ExitCode {
    let trials = trials(setting).into_iter();
    let trials = trials.map(|trial| trial.with_ignored_flag(true)).collect();
    eprintln!(
        "all of these tests have passed on these very programs, and are not run again; {}=1 runs them",
        whole_run::AGAIN_VARIABLE
    );
    libtest_mimic::run(arguments, trials).exit_code()
}

fn trials(setting: &Setting) -> Vec<Trial> {
    let tests = TOPICS
        .iter()
        .flat_map(|(topic, tests)| tests.iter().map(move |test| (topic, test)));
    tests
        .map(|(topic, (name, test))| {
            let (setting, test) = (setting.clone(), *test);
            Trial::test(format!("{topic}::{name}"), move || {
                run(&setting, test).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect()
}

/// Runs one test, and looks for what it left behind also when it failed.
fn run(setting: &Setting, test: fn(&Case) -> Result<()>) -> Result<()> {
    let case = Case::new(setting).context("set up the test")?;
    let result = test(&case);
    let left = case.nothing_left();
    match (result, left) {
        (Err(error), Err(left)) => Err(error.context(format!("({left:#})"))),
        (result, left) => result.and(left),
    }
}
