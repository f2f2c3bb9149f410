//! Attach: a client at the first process of a container. Main function: [`attach`]. The container does not notice when it goes.

use std::sync::Arc;

use model::WindowSize;
use pod::{AttachEnd, AttachPlan, Attached, PieceReader, ProcessInput};
use streaming::{Attach, End, Process, Refusal, Sink, Source};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::{
    ending::Ending,
    feed::{self, Rule},
};
use crate::{deadlines::Deadlines, node::Node, pods::Found};

/// What looks after a client that is attached.
struct Attendance {
    found: Found,
    over: AttachEnd,
    /// Ready when the client has nothing more to send and the attachment ends with that.
    input: Option<oneshot::Receiver<()>>,
    sizes: mpsc::Receiver<WindowSize>,
}

pub(super) async fn attach(node: &Arc<Node>, attach: Attach) -> Result<Process, Refusal> {
    let found = node
        .container(&attach.container)
        .map_err(|status| super::refused(&status))?;
    let asked = attach.streams;
    let plan = AttachPlan {
        stdin: asked.stdin,
        stdout: asked.stdout,
        stderr: asked.stderr,
    };
    let attached = found.known.pod.attach(&found.id, plan).await;
    let Attached {
        stdin,
        stdout,
        stderr,
        over,
    } = attached.map_err(|error| super::refusal(&error))?;
    let (sizes, window) = mpsc::channel(super::SIZES);
    let (end, told) = oneshot::channel();
    // Each of them hears of the end of the input.
    let mut ears = Vec::new();
    let mut ear = || {
        let (tell, hear) = oneshot::channel();
        ears.push(tell);
        hear
    };
    let config = &found.created.config;
    let rule = match config.stdin_once && !config.tty {
        true => Rule::EndsOnce,
        false => Rule::StaysOpen,
    };
    let ends = stdin.is_some() && rule == Rule::StaysOpen;
    let mut output = |reader: PieceReader| -> Source {
        let hears = ends.then(&mut ear);
        Box::new(ending(reader, hears, node.deadlines))
    };
    let (stdout, stderr) = (stdout.map(&mut output), stderr.map(&mut output));
    let attendance = Attendance {
        over,
        input: ends.then(&mut ear),
        sizes: window,
        found,
    };
    let stdin = asked.stdin.then(|| input(stdin, rule, ears));
    tokio::spawn(attendance.attend(end).in_current_span());
    tracing::debug!("a client is attached");
    Ok(Process {
        stdin,
        stdout,
        stderr,
        sizes,
        end: told,
    })
}

fn ending(
    reader: PieceReader,
    hears: Option<oneshot::Receiver<()>>,
    deadlines: Deadlines,
) -> Ending {
    Ending::new(reader, hears, (deadlines.quiet, deadlines.drain))
}

/// Where the client's input goes. One that the container does not read is swallowed, as containerd does it.
fn input(stdin: Option<ProcessInput>, rule: Rule, ears: Vec<oneshot::Sender<()>>) -> Sink {
    let Some(stdin) = stdin else {
        return Box::new(tokio::io::sink());
    };
    let (client, ours) = feed::channel();
    let task = async move {
        feed::feed(stdin, ours, rule).await;
        // Dropped, they tell.
        drop(ears);
    };
    tokio::spawn(task.in_current_span());
    client
}

impl Attendance {
    /// Until the client is gone.
    async fn attend(mut self, end: oneshot::Sender<End>) {
        let mut end = Some(end);
        loop {
            let told = tokio::select! {
                size = self.sizes.recv() => {
                    let Some(size) = size else { return };
                    self.resize(size).await;
                    continue;
                }
                over = self.over.wait(), if end.is_some() => match over {
                    Ok(()) => End::Exited(0),
                    Err(reason) => End::Failed(reason),
                },
                () = ended(&mut self.input), if end.is_some() => End::Exited(0),
            };
            // A client that has just left needs no end.
            drop(end.take().map(|end| end.send(told)));
        }
    }

    async fn resize(&mut self, size: WindowSize) {
        if !self.found.created.config.tty {
            return;
        }
        let size = super::newest(size, &mut self.sizes);
        super::say_if_not_resized(self.found.known.pod.resize(&self.found.id, size).await);
    }
}

/// Ready when the input has ended, if that ends the attachment.
async fn ended(input: &mut Option<oneshot::Receiver<()>>) {
    match input {
        // A sender that is dropped tells, too.
        Some(input) => drop(input.await),
        None => std::future::pending().await,
    }
}
