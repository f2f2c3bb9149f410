//! The task that owns one pod, from its start to the removal of its record: it alone changes the pod's state and holds what the pod has
//! on the host. Main function: [`spawn`]. `state` decides, `deeds` does what takes time, `teardown` cleans up; `handle` sends the commands
//! and reads the status.

mod command;
mod containers;
mod deeds;
mod devices;
mod entry;
mod limits;
mod logs;
mod volumes;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    path::PathBuf,
    sync::Arc,
};

use agent_client::{Agent, AgentError, Event, EventStream, ProcessEnd};
use model::{ContainerId, ExitStatus, VolumeId};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::Instrument;
use vm_client::Running;

use crate::{
    Deadlines,
    block_devices::BlockDevices,
    book::{Book, PodRecord},
    container::Container,
    disk_volumes::DiskVolumes,
    error::PodError,
    handle::Pod,
    home::{Ended, Home},
    shares::Shares,
    sockets::Answerer,
    state::pod::{self as state, Deed, Fact, Phase},
    status::{PodPhase, PodStatus},
    teardown::Held,
    volumes::Watcher,
};
pub(crate) use command::{Command, executed, first_process};
use command::{ExitSender, Reply};
use deeds::Outcome;
pub(crate) use deeds::open_streams;
use devices::Devices;
use entry::Entry;

/// Commands that wait for the owner.
const COMMANDS: usize = 64;

/// What an owner begins with: a start, or a record after a restart.
pub(crate) struct Beginning {
    pub(crate) record: PodRecord,
    /// None for a pod that ends with this process.
    pub(crate) book: Option<Book>,
    /// None for a pod that has stopped.
    pub(crate) live: Option<(Held, Agent)>,
    pub(crate) containers: Vec<Container>,
    pub(crate) launch: Option<Running>,
    /// The share server's program.
    pub(crate) share_server: PathBuf,
    pub(crate) deadlines: Deadlines,
}

/// Gives the pod an owner.
pub(crate) fn spawn(beginning: Beginning) -> Pod {
    let Beginning {
        record,
        book,
        live,
        containers,
        launch,
        share_server,
        deadlines,
    } = beginning;
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let span = tracing::info_span!("pod", pod = %record.id);
    let phase = match live {
        Some(_) => Phase::Running,
        None => Phase::Stopped,
    };
    let (held, agent) = live.map_or((None, None), |(held, agent)| (Some(held), Some(agent)));
    let home = held.as_ref().and_then(|held| held.home.clone());
    let monitor = home.as_ref().and_then(Home::monitor);
    let cgroup = held.as_ref().and_then(|held| held.cgroup.as_ref());
    // Only a pod that was just launched says how long that took.
    let known = launch.is_none().then_some(containers.as_slice());
    let devices = Devices::begin(
        held.as_ref().zip(agent.as_ref()),
        known,
        share_server,
        deadlines,
    );
    let entries = containers
        .into_iter()
        .map(|container| (container.id.clone(), Entry::recovered(container)))
        .collect();
    let mut owner = Owner {
        status: watch::Sender::new(Arc::new(PodStatus {
            id: record.id.clone(),
            note: Arc::new(record.note.clone()),
            created_at_ns: record.created_at_ns,
            phase: record.phase.clone(),
            containers: BTreeMap::new(),
            stages: record.stages.clone(),
            launch,
            monitor_pid: monitor.and_then(|monitor| monitor.pid()),
            cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()),
        })),
        agent: watch::Sender::new(agent),
        record,
        book,
        held,
        home,
        phase,
        entries,
        watched: HashMap::new(),
        deeds: JoinSet::from_iter(devices.shares_lost.map(deeds::hear_of_lost_shares)),
        watchers: BTreeMap::new(),
        answerers: BTreeMap::new(),
        shares: devices.shares,
        block_devices: devices.block_devices,
        disk_volumes: devices.disk_volumes,
        stop_replies: Vec::new(),
        forget_replies: Vec::new(),
        deadlines,
    };
    owner.publish();
    let pod = Pod {
        id: owner.record.id.clone(),
        commands,
        status: owner.status.subscribe(),
        agent: owner.agent.subscribe(),
        deadlines,
    };
    tokio::spawn(owner.run(inbox).instrument(span));
    pod
}

struct Owner {
    record: PodRecord,
    book: Option<Book>,
    /// Taken by the teardown.
    held: Option<Held>,
    /// Until the teardown begins.
    home: Option<Home>,
    /// For the handles, too: they call it themselves for what does not change the pod's state.
    agent: watch::Sender<Option<Agent>>,
    phase: Phase,
    entries: BTreeMap<ContainerId, Entry>,
    /// Who waits for the ends of processes.
    watched: HashMap<(String, String), ExitSender>,
    deeds: JoinSet<Outcome>,
    /// They follow the host's folders that containers mount.
    watchers: BTreeMap<VolumeId, Watcher>,
    /// They answer at the host's sockets that containers mount.
    answerers: BTreeMap<VolumeId, Answerer>,
    /// While a VM lives.
    shares: Option<Shares>,
    /// The same.
    block_devices: Option<BlockDevices>,
    /// The same.
    disk_volumes: Option<DiskVolumes>,
    status: watch::Sender<Arc<PodStatus>>,
    stop_replies: Vec<Reply<()>>,
    forget_replies: Vec<Reply<()>>,
    deadlines: Deadlines,
}

/// What woke the owner.
enum Wake {
    Command(Option<Command>),
    Event(Result<Event, AgentError>),
    Done(Outcome),
    Ended(Ended),
}

impl Owner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let agent = self.agent.borrow().clone();
        let mut events = match agent {
            Some(agent) => agent.events(0).await.ok(),
            None => None,
        };
        self.resume().await;
        while self.phase != Phase::Gone {
            let wake = self.wait(&mut inbox, &mut events).await;
            self.wake(wake, &mut events).await;
            self.publish();
        }
        for reply in mem::take(&mut self.forget_replies) {
            // A caller that went away needs no answer.
            drop(reply.send(Ok(())));
        }
    }

    async fn wait(
        &mut self,
        inbox: &mut mpsc::Receiver<Command>,
        events: &mut Option<EventStream>,
    ) -> Wake {
        let home = match self.phase {
            Phase::Running | Phase::Silencing => self.home.clone(),
            _ => None,
        };
        let ended = async {
            match &home {
                Some(home) => home.ended().await,
                None => std::future::pending().await,
            }
        };
        let event = async {
            match events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        // A closed inbox is always ready: whoever is being stopped has heard of it, and would hear nothing else.
        let stopping = matches!(self.phase, Phase::Silencing | Phase::TearingDown);
        let deaf = stopping && inbox.is_closed() && inbox.is_empty();
        let deeds = &mut self.deeds;
        let done = async {
            match deeds.join_next().await {
                Some(Ok(outcome)) => outcome,
                // A deed is never aborted; one that panicked has said so, and its container stays as it is.
                Some(Err(_)) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = event => Wake::Event(event),
            outcome = done => Wake::Done(outcome),
            command = inbox.recv(), if !deaf => Wake::Command(command),
            ended = ended => Wake::Ended(ended),
        }
    }

    async fn wake(&mut self, wake: Wake, events: &mut Option<EventStream>) {
        match wake {
            Wake::Command(None) => self.nobody_left().await,
            Wake::Command(Some(command)) => self.command(command).await,
            Wake::Event(Ok(event)) => self.event(event).await,
            Wake::Event(Err(error)) => {
                *events = None;
                self.agent_gone(&error).await;
            }
            Wake::Done(outcome) => self.done(outcome).await,
            Wake::Ended(ended) => self.guest_ended(&ended.cause(), Some(&ended)).await,
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Create { plan, reply } => self.create(*plan, reply),
            Command::Start { container, reply } => self.start(&container, reply).await,
            Command::Remove { container, reply } => self.remove(&container, reply).await,
            Command::Watch { process, exit } => {
                self.watched
                    .insert((process.container_id, process.exec_id), exit);
            }
            Command::Lend { container, hold } => {
                if let Some(entry) = self.entries.get_mut(&container) {
                    entry.hold = Some(hold);
                }
            }
            Command::ReopenLog { container, reply } => self.reopen_log(&container, reply),
            Command::Attach {
                container,
                listener,
                reply,
            } => self.attach(&container, listener, reply),
            Command::Update {
                container,
                change,
                reply,
            } => self.update(&container, change, reply),
            Command::Stop { reply } => {
                self.stop_replies.push(reply);
                self.happened(Fact::StopAsked).await;
                self.answer_stopped();
            }
            Command::Forget { reply } => {
                self.forget_replies.push(reply);
                self.happened(Fact::StopAsked).await;
                self.happened(Fact::RemoveAsked).await;
            }
        }
    }

    /// No handle is left. A pod that ends with its process is stopped; another one goes on without being watched.
    async fn nobody_left(&mut self) {
        if self.book.is_none() {
            self.happened(Fact::StopAsked).await;
            if self.phase == Phase::Stopped {
                self.phase = Phase::Gone;
            }
        } else {
            self.phase = Phase::Gone;
        }
    }

    async fn happened(&mut self, fact: Fact) {
        let (phase, deed) = state::next(self.phase, fact);
        self.phase = phase;
        match deed {
            Deed::None => {}
            Deed::Silence => self.silence(),
            Deed::TearDown => self.tear_down(),
            Deed::End => self.end().await,
        }
    }

    fn tear_down(&mut self) {
        tracing::debug!("tearing down");
        self.agent.send_replace(None);
        self.home = None;
        self.watchers.clear();
        self.answerers.clear();
        self.shares = None;
        self.block_devices = None;
        self.disk_volumes = None;
        if let Some(held) = self.held.take() {
            self.deeds.spawn(deeds::tear_down(held, self.deadlines));
        }
    }

    async fn torn_down(&mut self, result: Result<(), PodError>) {
        let message = self.cause().unwrap_or("the pod was stopped").to_owned();
        self.lose_containers(&message).await;
        self.record.phase = PodPhase::Stopped {
            cause: self.cause().map(str::to_owned),
        };
        self.save_pod().await;
        self.happened(Fact::TornDown).await;
        if let Err(error) = result {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "something of the pod is left"
            );
            // The one that can have the error gets it.
            if let Some(reply) = self.stop_replies.pop() {
                drop(reply.send(Err(error)));
            }
        }
        self.answer_stopped();
        if !self.forget_replies.is_empty() || self.book.is_none() {
            self.happened(Fact::RemoveAsked).await;
        }
    }

    fn answer_stopped(&mut self) {
        if matches!(self.phase, Phase::Stopped | Phase::Gone) {
            // What they see when they are answered is what there is.
            self.publish();
            for reply in mem::take(&mut self.stop_replies) {
                drop(reply.send(Ok(())));
            }
        }
    }

    /// Why the pod ended, when nobody asked for it.
    fn cause(&self) -> Option<&str> {
        match &self.record.phase {
            PodPhase::Stopped { cause } => cause.as_deref(),
            _ => None,
        }
    }

    async fn end(&mut self) {
        if let Some(book) = &self.book
            && let Err(error) = book.remove().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "a record stays");
        }
        self.entries.clear();
    }

    /// The event stream ended. Mostly what the pod lives in is about to end too, and says why.
    async fn agent_gone(&mut self, error: &AgentError) {
        let Some(home) = self.home.clone() else {
            return;
        };
        match tokio::time::timeout(self.deadlines.stop, home.ended()).await {
            Ok(ended) => self.guest_ended(&ended.cause(), Some(&ended)).await,
            Err(_still_there) => {
                let cause = format!("its agent is lost: {error}");
                self.guest_ended(&cause, None).await;
            }
        }
    }

    async fn guest_ended(&mut self, cause: &str, ended: Option<&Ended>) {
        if self.phase == Phase::Running {
            tracing::warn!(cause, "the pod ended by itself");
            self.record.phase = PodPhase::Stopped {
                cause: Some(cause.to_owned()),
            };
        }
        for (_, exit) in self.watched.drain() {
            let error = match ended {
                Some(ended) => ended.clone().into_error("the container ran"),
                None => PodError::AgentLost {
                    cause: cause.to_owned(),
                },
            };
            // A caller that went away needs no status.
            drop(exit.send(Err(error)));
        }
        self.lose_containers(cause).await;
        self.happened(Fact::GuestEnded).await;
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::ProcessExited {
                process,
                end,
                out_of_memory,
                time_ns,
                ..
            } => {
                let status = status_of(end, out_of_memory);
                self.process_exited(process, status, time_ns).await;
            }
            Event::OutOfMemory {
                container_id,
                kills,
                ..
            } => {
                tracing::warn!(container = container_id, kills, "out of memory");
            }
        }
    }

    async fn save_pod(&self) {
        if let Some(book) = &self.book
            && let Err(error) = book.save_pod(self.record.clone()).await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a restart will not know the pod's state"
            );
        }
    }

    /// Shows everyone the present state.
    fn publish(&mut self) {
        let containers: BTreeMap<_, _> = self
            .entries
            .iter_mut()
            .filter_map(|(id, entry)| Some((id.clone(), entry.shown()?)))
            .collect();
        let phase = match self.phase {
            Phase::Running => PodPhase::Running,
            Phase::Silencing | Phase::TearingDown => PodPhase::Stopping,
            Phase::Stopped | Phase::Gone => PodPhase::Stopped {
                cause: self.cause().map(str::to_owned),
            },
        };
        self.status.send_if_modified(|status| {
            let same = status.phase == phase
                && status.containers.len() == containers.len()
                && status
                    .containers
                    .iter()
                    .all(|(id, old)| containers.get(id).is_some_and(|new| Arc::ptr_eq(old, new)));
            if !same {
                let status = Arc::make_mut(status);
                status.containers = containers;
                status.enter(phase);
            }
            !same
        });
    }
}

fn status_of(end: ProcessEnd, out_of_memory: bool) -> ExitStatus {
    let status = match end {
        ProcessEnd::Exited(code) => ExitStatus::Exited(code),
        ProcessEnd::Signaled(signal) => ExitStatus::Signaled(signal),
    };
    if out_of_memory && status != ExitStatus::Exited(0) {
        return ExitStatus::OutOfMemory {
            code: status.shell_code(),
        };
    }
    status
}

#[cfg(test)]
mod tests;
