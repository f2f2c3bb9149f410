//! Streaming calls of a daemon under test: what a client of CRI does to come to the URL. The client of the streams themselves is the
//! harness's.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{AttachRequest, ExecRequest, PortForwardRequest};
use harness::spdy::command::{Command, Streams};
use tonic::Status;

use crate::daemon::Daemon;
use crate::deadlines::{self, LOOK_AGAIN};

/// Output and errors.
pub(crate) const OUTPUTS: Streams = Streams {
    stdin: false,
    stdout: true,
    stderr: true,
    tty: false,
};

/// The same with input.
pub(crate) const ALL: Streams = Streams {
    stdin: true,
    ..OUTPUTS
};

/// A terminal.
pub(crate) const TERMINAL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: false,
    tty: true,
};

pub(crate) fn exec_url(
    daemon: &Daemon<'_>,
    id: &str,
    command: &[&str],
    streams: Streams,
) -> Result<String, Status> {
    let request = ExecRequest {
        container_id: id.to_owned(),
        cmd: command.iter().map(|word| (*word).to_owned()).collect(),
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    let answer = daemon.call(async |mut client| client.exec(request).await);
    answer.map(|answer| answer.url)
}

/// A shell with this script, connected.
pub(crate) fn exec(
    daemon: &Daemon<'_>,
    id: &str,
    script: &str,
    streams: Streams,
) -> Result<Command> {
    let url = exec_url(daemon, id, &["sh", "-c", script], streams)?;
    Command::open(&url, streams).with_context(|| format!("exec {script:?}; log: {}", daemon.log()))
}

/// A container's first process, connected.
pub(crate) fn attach(daemon: &Daemon<'_>, id: &str, streams: Streams) -> Result<Command> {
    let request = AttachRequest {
        container_id: id.to_owned(),
        stdin: streams.stdin,
        tty: streams.tty,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    let answer = daemon.call(async |mut client| client.attach(request).await);
    let url = answer?.url;
    Command::open(&url, streams).with_context(|| format!("attach; log: {}", daemon.log()))
}

pub(crate) fn port_forward_url(daemon: &Daemon<'_>, sandbox: &str) -> Result<String, Status> {
    let request = PortForwardRequest {
        pod_sandbox_id: sandbox.to_owned(),
        port: Vec::new(),
    };
    let answer = daemon.call(async |mut client| client.port_forward(request).await);
    answer.map(|answer| answer.url)
}

/// Waits until a script in the container succeeds.
pub(crate) fn until(daemon: &Daemon<'_>, id: &str, script: &str) -> Result<()> {
    let deadline = Instant::now() + daemon.case.patience.stretch(deadlines::STEP);
    loop {
        let answer = daemon.exec(id, script, 0)?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{script:?} does not succeed: {answer:?}; log: {}",
            daemon.log()
        );
        thread::park_timeout(LOOK_AGAIN);
    }
}
