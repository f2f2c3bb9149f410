//! Exec: one more process in a container, for a client. Main function: [`exec`]. A client that goes away takes a process with a terminal
//! with it, as a terminal that hangs up does; one without goes on to its end, without input and unheard, as with containerd.

use std::sync::Arc;

use model::{Terminal, WindowSize};
use pod::{ExecPlan, ProcessInput, ProcessOutput, Streams, pieces};
use streaming::{End, Exec, Process, Refusal, Sink, Source};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::Instrument;

use super::feed::{self, Rule};
use crate::{
    deadlines::Deadlines, exec_output, executed::Executed, limits, node::Node, pods::Found,
};

/// SIGHUP: what a terminal that is hung up sends.
const HANG_UP: u32 = 1;

/// What looks after a process.
struct Attendance {
    process: Executed,
    /// Tells those who pass its output on that it has ended.
    exited: watch::Sender<bool>,
    sizes: mpsc::Receiver<WindowSize>,
    tty: bool,
}

pub(super) async fn exec(node: &Arc<Node>, exec: Exec) -> Result<Process, Refusal> {
    let found = node
        .container(&exec.container)
        .map_err(|status| super::refused(&status))?;
    let (reply, answer) = oneshot::channel();
    let deadlines = node.deadlines;
    let task = async move {
        // Not cut short by a client that leaves: the command may have begun.
        let (process, attendance, end) = match begin(found, exec, deadlines).await {
            Ok(begun) => begun,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        match reply.send(Ok(process)) {
            Ok(()) => attendance.attend(end).await,
            Err(_nobody_waits) => attendance.take_back().await,
        }
    };
    tokio::spawn(task.in_current_span());
    answer.await.unwrap_or_else(|_gone| {
        let text = "the task that executed the command ended early";
        Err(Refusal(text.to_owned()))
    })
}

async fn begin(
    found: Found,
    exec: Exec,
    deadlines: Deadlines,
) -> Result<(Process, Attendance, oneshot::Sender<End>), Refusal> {
    let asked = exec.streams;
    let plan = ExecPlan {
        args: exec.command,
        stdin: asked.stdin,
        terminal: asked.tty.then_some(Terminal { size: None }),
    };
    let executed = Executed::begin(found, &plan, deadlines).await;
    let (executed, streams) = executed.map_err(|status| super::refused(&status))?;
    tracing::debug!(exec = executed.id, "a client executes a command");
    let (sizes, window) = mpsc::channel(super::SIZES);
    let (end, told) = oneshot::channel();
    let (exited, has_exited) = watch::channel(false);
    let Streams {
        stdin,
        stdout,
        stderr,
    } = streams;
    let output = |stream, wanted| output(stream, wanted, &has_exited, deadlines);
    let process = Process {
        stdin: stdin.map(|stdin| input(stdin, asked.tty)),
        stdout: output(Some(stdout), asked.stdout),
        stderr: output(stderr, asked.stderr),
        sizes,
        end: told,
    };
    let attendance = Attendance {
        process: executed,
        exited,
        sizes: window,
        tty: asked.tty,
    };
    Ok((process, attendance, end))
}

fn input(stdin: ProcessInput, tty: bool) -> Sink {
    let (client, ours) = feed::channel();
    let rule = match tty {
        true => Rule::Terminal,
        false => Rule::Ends,
    };
    tokio::spawn(feed::feed(stdin, ours, rule).in_current_span());
    client
}

/// What nobody wants is read all the same: it shall not hold the process up.
fn output(
    stream: Option<ProcessOutput>,
    wanted: bool,
    exited: &watch::Receiver<bool>,
    deadlines: Deadlines,
) -> Option<Source> {
    match (stream, wanted) {
        (Some(stream), true) => {
            let (to, from) = pieces(limits::EXEC_PIECES);
            let forward = exec_output::forward(stream, to, exited.clone(), deadlines);
            tokio::spawn(forward.in_current_span());
            Some(Box::new(from))
        }
        (Some(stream), false) => {
            tokio::spawn(exec_output::discard(stream).in_current_span());
            None
        }
        (None, wanted) => wanted.then(|| -> Source { Box::new(tokio::io::empty()) }),
    }
}

impl Attendance {
    /// Until the process has ended.
    async fn attend(mut self, end: oneshot::Sender<End>) {
        let mut attended = true;
        let exit = loop {
            tokio::select! {
                exit = self.process.exit.wait() => break exit,
                size = self.sizes.recv(), if attended => match size {
                    Some(size) => self.resize(size).await,
                    None if self.tty => return self.hang_up().await,
                    None => attended = false,
                },
            }
        };
        self.exited.send_replace(true);
        let how = match exit {
            Ok(status) => End::Exited(status.shell_code()),
            Err(error) => End::Failed(model::chain(&error)),
        };
        // A client that went away needs no end.
        drop(end.send(how));
    }

    async fn resize(&mut self, size: WindowSize) {
        if !self.tty {
            return;
        }
        let size = super::newest(size, &mut self.sizes);
        let Executed { found, id, .. } = &self.process;
        let resized = found.known.pod.resize_exec(&found.id, id, size).await;
        super::say_if_not_resized(resized);
    }

    /// The client has gone, and the terminal with it.
    async fn hang_up(mut self) {
        tracing::debug!(
            exec = self.process.id,
            "its client is gone: its terminal hangs up"
        );
        if self.process.signal(HANG_UP).await {
            let patience = self.process.deadlines.hang_up;
            drop(timeout(patience, self.process.exit.wait()).await);
        }
        self.take_back().await;
    }

    /// Kills it with all that it started.
    async fn take_back(mut self) {
        self.process.kill().await;
        self.exited.send_replace(true);
    }
}
