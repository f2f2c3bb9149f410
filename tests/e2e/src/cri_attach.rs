//! Attach: clients at the first process of a container, one after the other and over a restart of the daemon.

use std::io;

use anyhow::{Result, ensure};
use cri::v1::ContainerState;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, log_text};
use crate::streaming::{ALL, OUTPUTS, TERMINAL, attach};

pub(crate) const TESTS: &[Test] = &[
    ("clients_come_and_go_and_the_log_has_all", come_and_go),
    ("input_for_one_ends_and_a_terminal_has_its_size", once),
];

fn come_and_go(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script(
        "main",
        "echo begun; while read line; do echo \"got $line\"; done; echo over",
    );
    config.stdin = true;
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let mut first = attach(&daemon, &id, ALL)?;
    first.client.writer.data(first.stdin, b"one\n", false)?;
    let mut other = attach(&daemon, &id, OUTPUTS)?;
    first.read_until("got one\n")?;
    first.client.writer.close()?;
    // The next one has the input, and nothing of what was said before; one that listens hears both.
    let mut second = attach(&daemon, &id, ALL)?;
    second.client.writer.data(second.stdin, b"two\n", false)?;
    let heard = second.read_until("got two\n")?;
    ensure!(heard == "got two\n", "{heard:?}");
    other.read_until("got two\n")?;
    daemon.restart()?;
    ensure!(second.finish(io::empty()).is_err(), "its connection broke");
    // The end of the input of one that leaves it open ends the client, and not the input.
    let third = attach(&daemon, &id, ALL)?.finish(&b"three\n"[..])?;
    ensure!(
        third.stdout == b"got three\n" && third.code()? == 0,
        "{third:?}"
    );
    let mut fourth = attach(&daemon, &id, ALL)?;
    fourth.client.writer.data(fourth.stdin, b"four\n", false)?;
    fourth.read_until("got four\n")?;
    let status = daemon.status(&id)?;
    ensure!(
        status.state() == ContainerState::ContainerRunning,
        "{status:?}"
    );
    daemon.stop(&id, 0)?;
    // Whatever a container's own end is, an attachment's is a good one.
    let last = fourth.finish(io::empty())?;
    ensure!(last.code()? == 0, "{last:?}");
    let log = log_text(&daemon.logs().join("main.log"), "stdout")?;
    let wanted = "begun\ngot one\ngot two\ngot three\ngot four\n";
    ensure!(
        log == wanted.as_bytes(),
        "{:?}",
        String::from_utf8_lossy(&log)
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn once(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("once", "cat; echo over; exit 3");
    (config.stdin, config.stdin_once) = (true, true);
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let outcome = attach(&daemon, &id, ALL)?.finish(&b"all\n"[..])?;
    ensure!(
        outcome.stdout == b"all\nover\n" && outcome.code()? == 0,
        "{outcome:?}"
    );
    ensure!(daemon.ended(&id)?.exit_code == 3);
    // Without a log: its output is kept by nobody, and held up by nobody, over a restart, too.
    let script = "cat /block; until [ \"$(stty size 2>/dev/null)\" = '20 70' ]; do sleep 0.1; done; \
                  echo sized; read line; cat /block; echo \"read $line\"; exit 5";
    let mut config = daemon.script("terminal", script);
    (config.stdin, config.tty) = (true, true);
    config.log_path = String::new();
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let mut terminal = attach(&daemon, &id, TERMINAL)?;
    terminal.resize(70, 20)?;
    terminal.read_until("sized")?;
    terminal.client.writer.close()?;
    daemon.restart()?;
    let mut terminal = attach(&daemon, &id, TERMINAL)?;
    let line = b"typed\n";
    terminal.client.writer.data(terminal.stdin, line, false)?;
    let outcome = terminal.finish(io::empty())?;
    let said = String::from_utf8_lossy(&outcome.stdout);
    ensure!(
        said.ends_with("read typed\r\n") && outcome.code()? == 0,
        "{outcome:?}"
    );
    ensure!(daemon.ended(&id)?.exit_code == 5);
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
