//! The frame of these tests, tried on programs of the host: what it says of a run is true, and it can fail.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Test;
use crate::case::Case;
use crate::deadlines::{self, Patience};
use crate::running::Running;
use crate::terminal::Terminal;
use crate::test_image;
use crate::whole_run::WholeRun;
use harness::leftovers::Snapshot;

pub(crate) const TESTS: &[Test] = &[
    ("program_is_waited_for_with_all_it_said", program_ends),
    ("program_that_does_not_end_is_given_up", deadline_passes),
    ("terminal_has_a_size_and_signals", terminal_works),
    ("traces_left_behind_are_found", traces_are_found),
    ("time_scale_is_checked", |_| time_scale()),
    ("test_image_is_one_that_tar_reads", image_is_readable),
    ("program_that_dies_dies_of_sigill", program_dies),
    ("whole_run_is_known_by_its_content", whole_run_is_known),
];

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn program_ends(case: &Case) -> Result<()> {
    let mut running = Running::start(sh("read a; echo $a; echo err >&2; cat; exit 3"))?;
    running.write(b"line\nrest")?;
    running
        .stdout
        .wait_for("line\n", case.patience.stretch(deadlines::STEP))?;
    ensure!(!running.has_ended()?, "its input is open");
    let ended = running.finish(case.patience.stretch(deadlines::STEP))?;
    ended
        .expect_code(3)?
        .expect_stdout("line\nrest")?
        .expect_error_naming(&["ERR"])?;
    ensure!(
        ended.expect_code(4).is_err() && ended.expect_stdout("line").is_err(),
        "{ended}"
    );
    ensure!(ended.expect_error_naming(&["other"]).is_err(), "{ended}");
    Ok(())
}

fn deadline_passes(_: &Case) -> Result<()> {
    let short = Duration::from_millis(50);
    let mut running = Running::start(sh("echo up; exec sleep 1000"))?;
    ensure!(
        running.stdout.wait_for("never", short).is_err(),
        "it never says that"
    );
    ensure!(running.wait(short).is_err(), "it runs for long");
    Ok(())
}

fn terminal_works(case: &Case) -> Result<()> {
    let patience = case.patience.stretch(deadlines::STEP);
    let script = "trap 'stty size; exit 5' WINCH; trap 'echo interrupted' INT; stty size; tty; \
                  while :; do sleep 0.1; done";
    let mut terminal = Terminal::open(101, 33)?;
    let mut running = terminal.start(&sh(script))?;
    terminal.screen.wait_for("33 101", patience)?;
    terminal.screen.wait_for("/dev/pts/", patience)?;
    ensure!(terminal.is_cooked()?, "a new terminal works by lines");
    terminal.press(b"\x03")?;
    terminal.screen.wait_for("interrupted", patience)?;
    terminal.resize(132, 44)?;
    terminal.screen.wait_for("44 132", patience)?;
    running.wait(patience)?.expect_code(5)?;
    Ok(())
}

fn traces_are_found(case: &Case) -> Result<()> {
    let before = Snapshot::take(case.folder());
    fs::write(case.folder().join("left"), b"").context("leave something")?;
    let after = Snapshot::take(case.folder());
    let left = after.new_since(&before);
    ensure!(
        left.iter().any(|line| line.ends_with("/left")),
        "the file is named: {left:?}"
    );
    case.nothing_left()
}

fn time_scale() -> Result<()> {
    ensure!(
        Patience::new(None, false)?.scale() == 1,
        "hardware is the measure"
    );
    ensure!(
        Patience::new(None, true)?.scale() == 10,
        "the test host is slow"
    );
    ensure!(
        Patience::new(Some("3"), true)?.scale() == 3,
        "the variable decides"
    );
    for wrong in ["", "0", "-1", "1.5", "1001", "x"] {
        ensure!(
            Patience::new(Some(wrong), true).is_err(),
            "{wrong:?} is no scale"
        );
    }
    Ok(())
}

fn image_is_readable(case: &Case) -> Result<()> {
    let path = case.folder().join("image.tar");
    test_image::bundle()?.write_oci_archive(&path)?;
    let mut list = Command::new("tar");
    list.arg("tf").arg(&path);
    let ended = case.finish(list, deadlines::COMMAND)?;
    ended.expect_code(0)?;
    ensure!(
        ended.text().lines().any(|member| member == "index.json"),
        "{ended}"
    );
    Ok(())
}

fn program_dies(case: &Case) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = case.folder().join("trap");
    fs::write(&path, test_image::program_that_dies()).context("write the program")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("make it executable")?;
    let ended = case.finish(
        sh(&format!("{}; exit $?", path.display())),
        deadlines::COMMAND,
    )?;
    ended.expect_code(128 + 4)?;
    Ok(())
}

fn whole_run_is_known(case: &Case) -> Result<()> {
    let dist = case.folder().join("dist");
    fs::create_dir(&dist)?;
    fs::write(dist.join("program"), "1")?;
    // Small, in place of this program: under emulation, its megabytes take a second each time.
    let tests = case.folder().join("tests");
    fs::write(&tests, "1")?;
    let now = || WholeRun::on(&dist, vec![tests.clone()]);
    let run = now()?;
    ensure!(!run.passed_before(), "it never ran");
    run.passed()?;
    ensure!(now()?.passed_before(), "nothing has changed");
    fs::write(dist.join("program"), "2")?;
    ensure!(!now()?.passed_before(), "a program has changed");
    fs::rename(dist.join("program"), dist.join("renamed"))?;
    fs::write(dist.join("renamed"), "1")?;
    ensure!(!now()?.passed_before(), "a name has changed");
    fs::rename(dist.join("renamed"), dist.join("program"))?;
    ensure!(now()?.passed_before(), "all is as it was");
    fs::write(&tests, "2")?;
    ensure!(!now()?.passed_before(), "the tests have changed");
    Ok(())
}
