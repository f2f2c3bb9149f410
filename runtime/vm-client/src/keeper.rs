//! The task that owns one machine's sockets and process. Main type: [`Keeper`]. It takes one command at a time and watches
//! for the end meanwhile; it is over when the machine is, or when nobody holds the handle any more.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use monitor::{Ending, Lifetime, Reply, Request, Status};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{debug, warn};

use crate::{
    Deadlines,
    channel::{Channel, ChannelError},
    lost,
    machine::RequestError,
    process::Process,
    run_folder, words,
};

/// What the handle asks of the keeper.
#[derive(Debug)]
pub(crate) enum Command {
    /// Passes a request on, and the monitor's answer back.
    Ask {
        request: Request,
        fds: Vec<OwnedFd>,
        reply: oneshot::Sender<Result<Reply, RequestError>>,
    },
}

/// What the keeper owns.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) run_folder: PathBuf,
    /// Made anew after an answer that did not come in time, for the next one could be that one.
    pub(crate) control: Option<Channel>,
    /// The launch socket and what its closing means to the machine, if we launched it.
    pub(crate) launch: Option<(Channel, Lifetime)>,
    pub(crate) process: Process,
    /// Kills the process, whatever the keeper waits for.
    pub(crate) kill: Arc<Notify>,
    pub(crate) deadlines: Deadlines,
}

/// What happened first.
enum Event {
    Gone,
    Last(Ending),
    ControlClosed,
    LaunchClosed,
    Kill,
    Command(Option<Command>),
}

impl Keeper {
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        ending: watch::Sender<Option<Ending>>,
    ) {
        let mut last = None;
        while last.is_none() {
            match self.next(&mut commands).await {
                Event::Gone => break,
                Event::Last(ending) => last = Some(ending),
                Event::ControlClosed => self.control = None,
                Event::LaunchClosed => self.launch = None,
                Event::Kill => self.kill(),
                Event::Command(Some(Command::Ask {
                    request,
                    fds,
                    reply,
                })) => {
                    let answer = self.ask(request, &fds).await;
                    last = ending_of(&answer);
                    // A caller that went away does not want it.
                    drop(reply.send(answer));
                }
                Event::Command(None) => return self.farewell().await,
            }
        }
        let last = self.bury(last).await;
        debug!(reason = ?last.reason, "the machine has ended");
        ending.send_replace(Some(last));
    }

    async fn next(&self, commands: &mut mpsc::Receiver<Command>) -> Event {
        tokio::select! {
            biased;
            message = last_word(self.launch.as_ref().map(|(launch, _)| launch)) => {
                message.map_or(Event::LaunchClosed, Event::Last)
            }
            message = last_word(self.control.as_ref()) => {
                message.map_or(Event::ControlClosed, Event::Last)
            }
            () = self.process.gone() => Event::Gone,
            () = self.kill.notified() => Event::Kill,
            command = commands.recv() => Event::Command(command),
        }
    }

    async fn ask(&mut self, request: Request, fds: &[OwnedFd]) -> Result<Reply, RequestError> {
        let control = match self.control.take() {
            Some(control) => control,
            None => run_folder::connect(&self.run_folder).map_err(RequestError::Connect)?,
        };
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let deadline = self.deadlines.request;
        let answer = tokio::select! {
            answered = timeout(deadline, ask(&control, &request, &fds)) => {
                answered.unwrap_or(Err(RequestError::Late { deadline }))
            }
            () = self.kill.notified() => {
                self.kill();
                Err(RequestError::Channel(ChannelError::Closed))
            }
        };
        match answer {
            Ok((reply, _)) => {
                self.control = Some(control);
                Ok(reply)
            }
            Err(refused @ RequestError::Refused { .. }) => {
                self.control = Some(control);
                Err(refused)
            }
            // A connection breaks because the monitor dies.
            Err(RequestError::Channel(_)) if self.is_dying().await => {
                Err(RequestError::Ended(self.bury(None).await))
            }
            Err(error) => Err(error),
        }
    }

    async fn is_dying(&self) -> bool {
        let wait = timeout(self.deadlines.dying, self.process.gone());
        wait.await.is_ok()
    }

    fn kill(&self) {
        if let Err(error) = self.process.kill() {
            // It is dead already, or nobody may kill it.
            debug!(%error, "kill the monitor");
        }
    }

    /// Waits for the process to be gone and says why the machine ended.
    async fn bury(&mut self, last_word: Option<Ending>) -> Ending {
        self.see_gone(self.deadlines.kill).await;
        let mut ending = last_word.or_else(|| self.late_word()).unwrap_or_else(|| {
            let complaint = self.process.complaint();
            lost::ending(self.process.reap(), &complaint)
        });
        // When the process can't be seen gone there is nothing to reap.
        self.process.reap();
        ending.text = words::printable(&ending.text);
        ending.console_tail = words::printable(&ending.console_tail);
        ending
    }

    /// Waits until the process is gone; kills it after `patience`.
    async fn see_gone(&self, patience: std::time::Duration) {
        if timeout(patience, self.process.gone()).await.is_ok() {
            return;
        }
        self.kill();
        let wait = timeout(self.deadlines.kill, self.process.gone());
        if wait.await.is_err() {
            warn!(
                pid = self.process.pid(),
                "the monitor does not go away after SIGKILL"
            );
        }
    }

    /// An ending that was still in a socket when the process died.
    fn late_word(&self) -> Option<Ending> {
        let launch = self.launch.as_ref().map(|(launch, _)| launch);
        let channels = [launch, self.control.as_ref()];
        channels.into_iter().flatten().find_map(|channel| {
            std::iter::from_fn(|| channel.take::<Reply>()).find_map(|reply| match reply {
                Reply::Ended(ending) => Some(ending),
                _ => None,
            })
        })
    }

    /// Nobody holds the handle: closes the sockets, and reaps our child when it ends.
    async fn farewell(mut self) {
        self.control = None;
        match self.launch.take().map(|(_, lifetime)| lifetime) {
            Some(Lifetime::WithLauncher) => self.see_gone(self.deadlines.farewell).await,
            Some(Lifetime::UntilStopped) => self.process.gone().await,
            None => return,
        }
        self.process.reap();
    }
}

/// Waits for an ending on a channel; `None` when the channel is over. Without a channel it waits forever.
async fn last_word(channel: Option<&Channel>) -> Option<Ending> {
    let Some(channel) = channel else {
        return std::future::pending().await;
    };
    loop {
        match channel.receive::<Reply>().await {
            Ok(received) => match received.message {
                Reply::Ended(ending) => return Some(ending),
                other => debug!(?other, "an answer that nobody waits for"),
            },
            Err(ChannelError::Receive(monitor::ReceiveError::Form(error))) => {
                debug!(%error, "a message that this version does not know");
            }
            Err(_) => return None,
        }
    }
}

/// One request and its answer, with what came beside it.
async fn ask(
    control: &Channel,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<(Reply, Vec<OwnedFd>), RequestError> {
    control
        .send(request, fds)
        .await
        .map_err(RequestError::Channel)?;
    let received = control
        .receive::<Reply>()
        .await
        .map_err(RequestError::Channel)?;
    match received.message {
        Reply::Refused { reason } => Err(RequestError::Refused {
            reason: words::printable(&reason),
        }),
        Reply::Ended(ending) => Err(RequestError::Ended(ending)),
        reply => Ok((reply, received.fds)),
    }
}

/// The monitor's status, and the descriptor of its process if it came.
pub(crate) async fn ask_status(
    control: &Channel,
) -> Result<(Status, Option<OwnedFd>), RequestError> {
    match ask(control, &Request::Status, &[]).await? {
        (Reply::Status(status), mut fds) => {
            let place = usize::from(status.pidfd.0);
            let pidfd = (place < fds.len()).then(|| fds.swap_remove(place));
            Ok((status, pidfd))
        }
        (other, _) => Err(RequestError::Answer(format!("{other:?}"))),
    }
}

fn ending_of(answer: &Result<Reply, RequestError>) -> Option<Ending> {
    match answer {
        Err(RequestError::Ended(ending)) => Some(ending.clone()),
        _ => None,
    }
}
