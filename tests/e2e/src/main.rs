//! End-to-end tests of `cofferdam`: the programs of one dist folder, on a host that can run microVMs.
//!
//! `cargo test -p e2e` runs them here if this machine can run stock guests, and otherwise starts itself again inside
//! nested test hosts (`test_host.rs`). Every test gets a [`Case`](case::Case) of its own and must leave nothing
//! behind. On one host they run one at a time; a test of two VMs at once starts both.

mod bare_vm;
mod case;
mod daemon;
mod deadlines;
mod mounting;
mod network;
mod running;
mod streaming;
mod terminal;
mod test_host;
mod test_image;
mod whole_run;
mod wire;

mod check;
mod cri_apparmor;
mod cri_attach;
mod cri_block;
mod cri_cgroup;
mod cri_container;
mod cri_crash;
mod cri_deadline;
mod cri_disk_volumes;
mod cri_escape;
mod cri_events;
mod cri_exec;
mod cri_filters;
mod cri_host_pods;
mod cri_huge_pages;
mod cri_image;
mod cri_kubelet;
mod cri_limits;
mod cri_log;
mod cri_many;
mod cri_metrics;
mod cri_network;
mod cri_posix;
mod cri_pull;
mod cri_restart;
mod cri_sandbox;
mod cri_scratch;
mod cri_shares;
mod cri_sockets;
mod cri_stop;
mod cri_streaming;
mod cri_sub_paths;
mod cri_tokens;
mod cri_user_namespaces;
mod cri_vfio;
mod cri_vfio_hot_plug;
mod cri_vfio_kubelet;
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
mod spare;
mod vfio;
mod vfio_edu;
mod vfio_hot_plug;
mod vfio_jail;
mod vfio_nodes;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};

use case::{Case, Setting};
use test_host::{TestHosts, Worker};
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
    ("vfio", vfio::TESTS),
    ("vfio_jail", vfio_jail::TESTS),
    ("vfio_edu", vfio_edu::TESTS),
    ("vfio_hot_plug", vfio_hot_plug::TESTS),
    ("cri_image", cri_image::TESTS),
    ("cri_pull", cri_pull::TESTS),
    ("cri_tokens", cri_tokens::TESTS),
    ("cri_deadline", cri_deadline::TESTS),
    ("cri_sandbox", cri_sandbox::TESTS),
    ("cri_container", cri_container::TESTS),
    ("cri_cgroup", cri_cgroup::TESTS),
    ("cri_log", cri_log::TESTS),
    ("cri_network", cri_network::TESTS),
    ("cri_stop", cri_stop::TESTS),
    ("cri_exec", cri_exec::TESTS),
    ("cri_streaming", cri_streaming::TESTS),
    ("cri_attach", cri_attach::TESTS),
    ("cri_limits", cri_limits::TESTS),
    ("cri_metrics", cri_metrics::TESTS),
    ("cri_events", cri_events::TESTS),
    ("cri_restart", cri_restart::TESTS),
    ("cri_kubelet", cri_kubelet::TESTS),
    ("cri_many", cri_many::TESTS),
    ("cri_volumes", cri_volumes::TESTS),
    ("cri_sub_paths", cri_sub_paths::TESTS),
    ("cri_disk_volumes", cri_disk_volumes::TESTS),
    ("cri_huge_pages", cri_huge_pages::TESTS),
    ("cri_shares", cri_shares::TESTS),
    ("cri_sockets", cri_sockets::TESTS),
    ("cri_scratch", cri_scratch::TESTS),
    ("cri_posix", cri_posix::TESTS),
    ("cri_escape", cri_escape::TESTS),
    ("cri_crash", cri_crash::TESTS),
    ("cri_block", cri_block::TESTS),
    ("cri_vfio", cri_vfio::TESTS),
    ("cri_vfio_kubelet", cri_vfio_kubelet::TESTS),
    ("cri_vfio_hot_plug", cri_vfio_hot_plug::TESTS),
    ("cri_user_namespaces", cri_user_namespaces::TESTS),
    ("cri_host_pods", cri_host_pods::TESTS),
    ("cri_apparmor", cri_apparmor::TESTS),
];

fn main() -> Result<ExitCode> {
    if test_host::is_worker() {
        let setting = Setting::from_environment()?;
        let served = Worker::new().serve(|test| run_named(&setting, test));
        return served.map(|()| ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let setting = Setting::from_environment()?;
    if arguments.list {
        return Ok(libtest_mimic::run(&arguments, trials(&setting)).exit_code());
    }
    setting.check()?;
    let whole = WholeRun::of(&arguments, &setting)?;
    if whole.as_ref().is_some_and(WholeRun::passed_before) && !whole_run::is_wanted_again() {
        return Ok(not_again(&arguments, &setting));
    }
    let conclusion = match test_host::why_needed() {
        Some(reason) => {
            let hosts = TestHosts::new(&setting, &reason)?;
            arguments.test_threads = Some(TestHosts::places());
            let conclusion = libtest_mimic::run(&arguments, trials_in(&hosts));
            hosts.end()?;
            conclusion
        }
        None => libtest_mimic::run(&arguments, trials(&setting)),
    };
    if let (false, Some(whole)) = (conclusion.has_failed(), whole) {
        whole.passed()?;
    }
    Ok(conclusion.exit_code())
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

/// Every test with its whole name.
fn tests() -> impl Iterator<Item = (String, fn(&Case) -> Result<()>)> {
    TOPICS.iter().flat_map(|(topic, tests)| {
        let name = move |name: &str| format!("{topic}::{name}");
        tests.iter().map(move |(test, run)| (name(test), *run))
    })
}

/// As they run here.
fn trials(setting: &Setting) -> Vec<Trial> {
    let trial = |(name, test)| {
        let setting = setting.clone();
        Trial::test(name, move || {
            run(&setting, test).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    tests().map(trial).collect()
}

/// As they run in test hosts.
fn trials_in(hosts: &Arc<TestHosts>) -> Vec<Trial> {
    let trial = |(name, _test): (String, _)| {
        let (hosts, test) = (Arc::clone(hosts), name.clone());
        Trial::test(name, move || run_in(&hosts, &test).map_err(Failed::from))
    };
    tests().map(trial).collect()
}

/// A guest that died early says nothing of what is tested: it has one more attempt, which is told.
fn run_in(hosts: &TestHosts, test: &str) -> Result<(), String> {
    let first = hosts.run(test);
    match first {
        Err(error) if error.contains(test_host::WHILE_BOOTING) => {
            let line = error.lines().next().unwrap_or_default();
            eprintln!("{test} is tried again on its emulated processor: {line}");
            hosts.run(test)
        }
        first => first,
    }
}

/// As a worker runs one. A panic is an answer, too: the next test has nothing to do with it.
fn run_named(setting: &Setting, name: &str) -> Result<(), String> {
    let found = tests().find(|(test, _)| test == name);
    let (_, test) = found.ok_or_else(|| format!("there is no test {name}"))?;
    let run = std::panic::catch_unwind(|| run(setting, test));
    match run {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(_said_already) => Err("it panicked; its words are above".to_owned()),
    }
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
