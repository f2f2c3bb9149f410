//! What can go wrong with a run: the error says what and what to do, at once, and nothing is left behind.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::Test;
use crate::case::Case;
use crate::deadlines;
use crate::running::{Ended, Running};

pub(crate) const TESTS: &[Test] = &[
    ("missing_command_is_127_and_named", missing_command),
    ("command_that_is_no_program_is_126_and_named", no_program),
    ("missing_working_directory_is_made", missing_directory),
    ("unknown_image_is_named", unknown_image),
    ("unknown_user_is_named", unknown_user),
    ("unknown_flag_is_named", unknown_flag),
    ("unknown_configuration_key_is_named", unknown_key),
    ("missing_kernel_is_named", missing_kernel),
    ("kernel_that_is_none_is_named", broken_kernel),
    ("missing_monitor_is_named", missing_monitor),
    ("broken_guest_image_is_a_guest_panic", broken_guest_image),
    (
        "guest_panic_under_a_running_container_is_said",
        panic_while_running,
    ),
    ("monitor_killed_is_said", monitor_killed),
    (
        "monitor_killed_before_the_guest_is_up_is_said",
        monitor_killed_early,
    ),
    ("run_killed_takes_its_vm_along", run_killed),
    (
        "run_killed_before_the_guest_is_up_takes_its_vm_along",
        run_killed_early,
    ),
];

/// What Cofferdam's own failures exit with, as in other tools that run a command for their caller.
const OUR_FAILURE: i32 = 125;
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Checks what every failure of ours has: the code, no output of a container, and these words in the error.
fn failed(ended: &Ended, words: &[&str]) -> Result<()> {
    ended
        .expect_code(OUR_FAILURE)?
        .expect_stdout("")?
        .expect_error_naming(words)?;
    Ok(())
}

fn missing_command(case: &Case) -> Result<()> {
    let ended = case.run(&[], &["no-such-command", "-x"])?;
    ended
        .expect_code(NOT_FOUND)?
        .expect_stdout("")?
        .expect_error_naming(&["no-such-command"])?;
    let path = case.run(&["-i"], &["/no/such/path"])?;
    path.expect_code(NOT_FOUND)?
        .expect_stdout("")?
        .expect_error_naming(&["/no/such/path"])?;
    Ok(())
}

fn no_program(case: &Case) -> Result<()> {
    let ended = case.run(&[], &["/etc/passwd"])?;
    ended
        .expect_code(NOT_EXECUTABLE)?
        .expect_stdout("")?
        .expect_error_naming(&["/etc/passwd"])?;
    Ok(())
}

/// As other runtimes do; one that can't be made, because something else is there, is named.
fn missing_directory(case: &Case) -> Result<()> {
    case.run(&["--workdir", "/no/such/folder"], &["pwd"])?
        .expect_code(0)?
        .expect_stdout("/no/such/folder\n")?;
    let ended = case.run(&["--workdir", "/etc/passwd"], &["pwd"])?;
    ended
        .expect_failure()?
        .expect_stdout("")?
        .expect_error_naming(&["/etc/passwd"])?;
    Ok(())
}

fn unknown_image(case: &Case) -> Result<()> {
    let ended = case.tell(&["run", "--image", "no-such-image", "--", "true"])?;
    failed(&ended, &["no-such-image", "image"])
}

fn unknown_user(case: &Case) -> Result<()> {
    let ended = case.run(&["--user", "no-such-user"], &["true"])?;
    ended
        .expect_failure()?
        .expect_stdout("")?
        .expect_error_naming(&["no-such-user"])?;
    Ok(())
}

fn unknown_flag(case: &Case) -> Result<()> {
    let ended = case.tell(&["run", "--no-such-flag"])?;
    ended
        .expect_failure()?
        .expect_stdout("")?
        .expect_error_naming(&["--no-such-flag"])?;
    Ok(())
}

fn unknown_key(case: &Case) -> Result<()> {
    let ended = case.run_with_configuration("no_such_key = 1\n", &["true"])?;
    failed(&ended, &["no_such_key"])?;
    let in_table = case.run_with_configuration("[vm]\nno_such_key = 1\n", &["true"])?;
    failed(&in_table, &["no_such_key"])
}

fn missing_kernel(case: &Case) -> Result<()> {
    let ended = case.run_with_configuration("kernel = \"/no/such/vmlinux\"\n", &["true"])?;
    failed(&ended, &["/no/such/vmlinux"])
}

fn broken_kernel(case: &Case) -> Result<()> {
    let kernel = case.folder().join("no-kernel");
    fs::write(&kernel, vec![0x5a; 1 << 20]).context("write a file that is no kernel")?;
    let ended = case.run_with_configuration(&format!("kernel = {kernel:?}\n"), &["true"])?;
    failed(&ended, &["kernel"])
}

fn missing_monitor(case: &Case) -> Result<()> {
    let ended = case.run_with_configuration("monitor = \"/no/such/monitor\"\n", &["true"])?;
    failed(&ended, &["/no/such/monitor"])
}

/// The kernel finds no /init in it, has no other root, and panics.
fn broken_guest_image(case: &Case) -> Result<()> {
    let image = case.folder().join("no-archive");
    fs::write(&image, vec![0x5a; 1 << 20]).context("write a file that is no archive")?;
    let ended = case.run_with_configuration(&format!("guest_image = {image:?}\n"), &["true"])?;
    failed(&ended, &["panic"])
}

/// The kernel is told to panic where it would kill in a cgroup that is out of memory (sysctl kernel documentation,
/// vm.panic_on_oom, value 2), and the container asks for more than it may have.
fn panic_while_running(case: &Case) -> Result<()> {
    let configuration = "[vm]\nmemory_mib = 32\nkernel_arguments = \"sysctl.vm.panic_on_oom=2\"\n";
    let script = "echo up; exec tail -n 1 /dev/zero";
    let ended = case.run_with_configuration(configuration, &["sh", "-c", script])?;
    ended
        .expect_code(OUR_FAILURE)?
        .expect_stdout("up\n")?
        .expect_error_naming(&["panic", "panic_on_oom"])?;
    Ok(())
}

fn monitor_killed(case: &Case) -> Result<()> {
    let running = case.start(&["-i"], &["sh", "-c", "echo up; cat"])?;
    running
        .stdout
        .wait_for("up\n", case.patience.stretch(deadlines::RUN))?;
    let monitor = case.monitor()?;
    kill(monitor)?;
    let ended = running.finish(case.patience.stretch(deadlines::STEP))?;
    ended
        .expect_code(OUR_FAILURE)?
        .expect_stdout("up\n")?
        .expect_error_naming(&["monitor"])?;
    Ok(())
}

fn monitor_killed_early(case: &Case) -> Result<()> {
    let running = case.start(&[], &["echo", "up"])?;
    let monitor = case.monitor()?;
    kill(monitor)?;
    let ended = running.finish(case.patience.stretch(deadlines::STEP))?;
    failed(&ended, &["monitor"])
}

fn run_killed(case: &Case) -> Result<()> {
    let running = case.start(&["-i"], &["sh", "-c", "echo up; cat"])?;
    running
        .stdout
        .wait_for("up\n", case.patience.stretch(deadlines::RUN))?;
    nothing_survives(case, running)
}

fn run_killed_early(case: &Case) -> Result<()> {
    let running = case.start(&["-i"], &["cat"])?;
    case.monitor()?;
    nothing_survives(case, running)
}

/// Kills the command itself, as the kernel does when memory runs out: nobody is left to tear down, so the VM ends by itself, and
/// the next run removes the folder.
fn nothing_survives(case: &Case, mut running: Running) -> Result<()> {
    let patience = case.patience.stretch(deadlines::STEP);
    let before = case.run_folders();
    ensure!(before.len() == 1, "one pod has a run folder: {before:?}");
    running.signal(Signal::KILL)?;
    let ended = running.wait(patience)?;
    ensure!(
        ended.status.signal() == Some(9),
        "it was killed, but {ended}"
    );
    case.no_monitor()?;
    let left = case.run_folders();
    ensure!(left == before, "nobody was there to remove it: {left:?}");
    case.run(&[], &["true"])?.expect_code(0)?;
    let left = case.run_folders();
    ensure!(left.is_empty(), "the next run sweeps: {left:?}");
    Ok(())
}

fn kill(process: Pid) -> Result<()> {
    rustix::process::kill_process(process, Signal::KILL).context("kill the monitor")
}
