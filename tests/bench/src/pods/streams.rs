//! Exec through the streaming servers of both runtimes, by the harness's client. Main functions: [`latency_us`], [`transfer_us`].

use std::{io, time::Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::ExecRequest;
use harness::spdy::command::{Command, Streams};

use super::{micros, node::Node};

/// What passes through an exec, in MiB, each way.
pub(super) const TRANSFER_MIB: usize = 16;

const OUTPUT: Streams = Streams {
    stdin: false,
    stdout: true,
    stderr: true,
    tty: false,
};

/// From the call to the status of a command that does nothing.
pub(super) async fn latency_us(node: &mut Node, container: &str) -> Result<u64> {
    let begun = Instant::now();
    let said = run(node, container, &["true"], OUTPUT).await?;
    ensure!(said == 0, "`true` said {said} bytes");
    Ok(micros(begun))
}

/// The same with bytes through a command and back.
pub(super) async fn transfer_us(node: &mut Node, container: &str) -> Result<u64> {
    let streams = Streams {
        stdin: true,
        ..OUTPUT
    };
    let begun = Instant::now();
    let said = run(node, container, &["cat"], streams).await?;
    ensure!(said == TRANSFER_MIB << 20, "`cat` said {said} bytes");
    Ok(micros(begun))
}

/// How many bytes the command said.
async fn run(node: &mut Node, container: &str, cmd: &[&str], streams: Streams) -> Result<usize> {
    let request = ExecRequest {
        container_id: container.to_owned(),
        cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    let answer = node.runtime.exec(request).await;
    let url = answer.context("ask for an exec")?.into_inner().url;
    let outcome = tokio::task::spawn_blocking(move || {
        let bytes = match streams.stdin {
            true => TRANSFER_MIB << 20,
            false => 0,
        };
        let input = io::Read::take(io::repeat(b'x'), bytes as u64);
        Command::open(&url, streams)?.finish(input)
    });
    let outcome = outcome.await.context("run an exec")??;
    ensure!(outcome.code()? == 0, "the command failed: {outcome:?}");
    Ok(outcome.stdout.len())
}
