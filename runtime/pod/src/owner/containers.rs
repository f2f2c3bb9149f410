//! What the owner does with containers: creation, start, end, removal. `state::container` decides; `deeds` does what takes time.

use agent_client::ProcessRef;
use container_log::LogFile;
use model::{ContainerId, ExitStatus, Identity};

use super::{
    Owner, Reply,
    deeds::{self, Outcome},
    entry::Entry,
    volumes::divide,
};
use crate::{
    container::{Container, ContainerPhase},
    error::PodError,
    handle::Streams,
    home::Places,
    oci,
    output::Following,
    plan::{ContainerPlan, OutputTo},
    state::{
        container::{Deed, End, Fact, Stage, next},
        pod::{Fact as PodFact, Phase},
    },
    volumes::Carriers,
    wall_clock,
};

/// What a container's start came to.
pub(crate) struct StartedContainer {
    pub(crate) streams: Streams,
    pub(crate) user: Option<Identity>,
    /// Where its output goes, unless to whoever started it.
    pub(crate) followed: Option<(Following, Option<LogFile>)>,
}

impl Owner {
    pub(super) fn create(&mut self, plan: ContainerPlan, reply: Reply<()>) {
        let ContainerPlan {
            id,
            note,
            spec,
            root,
            output,
            mounts,
            apparmor_policy,
        } = plan;
        let (Phase::Running, Some(home)) = (self.phase, self.home.clone()) else {
            drop(reply.send(Err(PodError::NotRunning {
                pod: self.record.id.to_string(),
            })));
            return;
        };
        if self.entries.contains_key(&id) {
            drop(reply.send(Err(PodError::ContainerExists {
                container: id.to_string(),
            })));
            return;
        }
        // What can't be run is said here, where whoever asked can still ask for something else.
        if let Err(error) = oci::check_container(&spec) {
            drop(reply.send(Err(error.into())));
            return;
        }
        let (mounts, images) = divide(mounts);
        let container = Container {
            id: id.clone(),
            note,
            spec,
            created_at_ns: wall_clock::now_ns(),
            phase: ContainerPhase::Created,
            log: match &output {
                OutputTo::Caller | OutputTo::Nowhere => None,
                OutputTo::Log(path) => Some(path.clone()),
            },
            user: None,
            writable_bytes: root.writable_bytes,
            image: None,
            mounts,
            disks: Vec::new(),
        };
        let security = container.spec.security.clone();
        let hold = Box::new((root.hold, images.holds));
        let entry = Entry::new(container, output, hold);
        self.entries.insert(id.clone(), entry);
        let placing = deeds::Placing {
            agent: self.agent.borrow().clone(),
            apparmor_policy,
            root: root.segments,
            images: images.files,
            devices: self.block_devices.clone(),
            security,
        };
        let answer = (reply, self.deadlines.call);
        self.deeds.spawn(deeds::place(home, id, placing, answer));
    }

    pub(super) async fn placed(
        &mut self,
        id: ContainerId,
        result: Result<Places, PodError>,
        reply: Reply<()>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let kept = match result {
            Ok(places) => {
                entry.set_images(places);
                entry.ready = true;
                self.save(&id).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            let entry = self.entries.remove(&id);
            self.release_images(entry.as_ref());
            drop(reply.send(Err(error)));
            return;
        }
        // Shown before it is said.
        self.publish();
        drop(reply.send(Ok(())));
    }

    pub(super) async fn start(&mut self, id: &ContainerId, reply: Reply<Option<Streams>>) {
        if let Err(error) = self.ask(id, "start", Fact::StartAsked).await {
            drop(reply.send(Err(error)));
            return;
        }
        if let Some(entry) = self.entries.get_mut(id) {
            entry.start_reply = Some(reply);
        }
    }

    pub(super) async fn remove(&mut self, id: &ContainerId, reply: Reply<()>) {
        match self.ask(id, "remove", Fact::RemoveAsked).await {
            Ok(()) => match self.entries.get_mut(id) {
                Some(entry) => entry.remove_reply = Some(reply),
                None => drop(reply.send(Ok(()))),
            },
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Does what somebody asked for, or says why it can't be done.
    async fn ask(
        &mut self,
        id: &ContainerId,
        attempt: &'static str,
        fact: Fact,
    ) -> Result<(), PodError> {
        let entry = self
            .entries
            .get_mut(id)
            .filter(|entry| entry.ready)
            .ok_or_else(|| PodError::NoContainer {
                container: id.to_string(),
            })?;
        if self.phase != Phase::Running && fact == Fact::StartAsked {
            return Err(PodError::NotRunning {
                pod: self.record.id.to_string(),
            });
        }
        match next(entry.stage.clone(), fact) {
            Ok((stage, deed)) => {
                entry.stage = stage;
                self.carry_out(id, deed).await;
                Ok(())
            }
            Err((_, refusal)) => Err(PodError::ContainerState {
                container: id.to_string(),
                attempt,
                because: refusal.because.to_owned(),
            }),
        }
    }

    /// Tells the container's state what has happened. A container that is gone doesn't mind.
    pub(super) async fn tell(&mut self, id: &ContainerId, fact: Fact) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let before = entry.stage.phase();
        let deed = match next(entry.stage.clone(), fact) {
            Ok((stage, deed)) => {
                entry.stage = stage;
                deed
            }
            Err(_refused) => Deed::None,
        };
        if entry.stage.phase() != before {
            self.save_or_say(id).await;
        }
        self.carry_out(id, deed).await;
        if let Some(entry) = self.entries.get_mut(id)
            && matches!(entry.stage, Stage::Exited(_))
        {
            entry.answer_start();
            entry.hold = None;
        }
    }

    async fn save_or_say(&mut self, id: &ContainerId) {
        if let Err(error) = self.save(id).await {
            tracing::error!(
                container = %id,
                error = &error as &dyn std::error::Error,
                "a restart will not know the container's state"
            );
        }
    }

    pub(super) async fn save(&mut self, id: &ContainerId) -> Result<(), PodError> {
        let Some(entry) = self.entries.get_mut(id) else {
            return Ok(());
        };
        let container = entry.recorded();
        match &self.book {
            Some(book) => book
                .save_container(container)
                .await
                .map_err(PodError::Record),
            None => Ok(()),
        }
    }

    async fn carry_out(&mut self, id: &ContainerId, deed: Deed) {
        match deed {
            Deed::None => {}
            Deed::Start => {
                // A restart must know that there may be something in the guest.
                if let Err(error) = self.save(id).await {
                    self.start_failed(id, error);
                    return;
                }
                self.spawn_start(id);
            }
            Deed::Settle => self.spawn_settle(id),
            Deed::Remove => self.spawn_remove(id),
        }
    }

    fn spawn_start(&mut self, id: &ContainerId) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        let specification = oci::specification(&entry.container().spec, &self.record.hostname)
            .map_err(PodError::Unserved);
        let (Some(home), Some(agent), Some(image)) = (
            self.home.clone(),
            self.agent.borrow().clone(),
            entry.container().image.clone(),
        ) else {
            self.start_failed(id, PodError::TornDown);
            return;
        };
        let specification = match specification {
            Ok(specification) => specification,
            Err(error) => {
                self.start_failed(id, error);
                return;
            }
        };
        let container = entry.container().clone();
        self.follow_volumes(&container);
        let start = deeds::Start {
            container,
            image,
            specification,
            following: self.following(id),
            carriers: Carriers {
                watchers: self.watchers.clone(),
                shares: self.shares.clone(),
                disks: self.disk_volumes.clone(),
            },
        };
        self.deeds
            .spawn(deeds::start(home, agent, start, self.deadlines));
    }

    /// As if the deed had failed.
    fn start_failed(&mut self, id: &ContainerId, error: PodError) {
        let id = id.clone();
        self.deeds.spawn(async move {
            Outcome::Started {
                container: id,
                result: Box::new(Err(error)),
            }
        });
    }

    pub(super) async fn started(
        &mut self,
        id: &ContainerId,
        result: Result<StartedContainer, PodError>,
    ) {
        let at_ns = wall_clock::now_ns();
        match result {
            Ok(mut started) => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.set_user(started.user.take());
                }
                let streams = self.follow(id, started);
                self.tell(id, Fact::Started { at_ns }).await;
                // Shown before it is said.
                self.publish();
                let entry = self.entries.get_mut(id);
                if let Some(reply) = entry.and_then(|entry| entry.start_reply.take()) {
                    drop(reply.send(Ok(streams)));
                }
            }
            Err(error) => {
                let message = model::chain(&error);
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.start_error = Some(error);
                }
                self.tell(id, Fact::StartFailed { at_ns, message }).await;
            }
        }
    }

    pub(super) fn spawn_settle(&mut self, id: &ContainerId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let settle = deeds::Settle {
            container: entry.over(),
            with_caller: entry.output == OutputTo::Caller,
            home: self.home.clone(),
            agent: self.agent.borrow().clone(),
            devices: self.block_devices.clone(),
            follower: entry.follower.take(),
            book: self.book.clone(),
        };
        self.deeds.spawn(deeds::settle(settle, self.deadlines));
    }

    pub(super) async fn settled(&mut self, id: &ContainerId, images_gone: bool) {
        let mut was_over = false;
        if let Some(entry) = self.entries.get_mut(id)
            && images_gone
        {
            entry.forget_images();
            was_over = matches!(entry.stage, Stage::Exited(_));
        }
        self.give_up_execs(id);
        self.tell(id, Fact::Settled).await;
        // A new phase is saved with it; that of a record is no new one.
        if was_over {
            self.save_or_say(id).await;
        }
        self.unfollow_volumes();
        self.silent_yet().await;
    }

    /// The guest forgets its commands with the container, those too whose ends it has not told.
    fn give_up_execs(&mut self, id: &ContainerId) {
        let left = self
            .watched
            .extract_if(|(container, exec), _| container == id.as_str() && !exec.is_empty());
        for (_, exit) in left {
            // A caller that went away needs no answer.
            drop(exit.send(Err(PodError::ContainerState {
                container: id.to_string(),
                attempt: "execute a command in",
                because: "it has ended".to_owned(),
            })));
        }
    }

    fn spawn_remove(&mut self, id: &ContainerId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let remove = deeds::Remove {
            container: id.clone(),
            home: self.home.clone(),
            agent: self.agent.borrow().clone(),
            devices: self.block_devices.clone(),
            images: entry.container().images(),
            book: self.book.clone(),
        };
        self.deeds.spawn(deeds::remove(remove, self.deadlines));
    }

    pub(super) fn removed(&mut self, id: &ContainerId, result: Result<(), PodError>) {
        let entry = self.entries.remove(id);
        // Gone before it is said.
        self.publish();
        if let Some(reply) = entry.and_then(|entry| entry.remove_reply) {
            drop(reply.send(result));
        }
    }

    pub(super) async fn process_exited(
        &mut self,
        process: ProcessRef,
        status: ExitStatus,
        at_ns: i64,
    ) {
        let ProcessRef {
            container_id,
            exec_id,
        } = process;
        if exec_id.is_empty()
            && let Ok(id) = container_id.parse()
        {
            let fact = Fact::ProcessEnded(End { at_ns, status });
            self.tell(&id, fact).await;
        }
        if let Some(exit) = self.watched.remove(&(container_id, exec_id)) {
            // A caller that went away needs no status.
            drop(exit.send(Ok(status)));
        }
    }

    /// Kills what runs; the teardown begins when all of it has settled, or when the time is over.
    pub(super) fn silence(&mut self) {
        let live: Vec<ContainerId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.stage.is_live())
            .map(|(id, _)| id.clone())
            .collect();
        let agent = self.agent.borrow().clone();
        let deadlines = self.deadlines;
        match agent {
            Some(agent) if !live.is_empty() => {
                self.deeds.spawn(deeds::silence(agent, live, deadlines));
            }
            _ => {
                self.deeds.spawn(async { Outcome::Silent });
            }
        }
    }

    /// While the pod is being stopped: whether the last container has settled.
    async fn silent_yet(&mut self) {
        let live = self.entries.values().any(|entry| entry.stage.is_live());
        if self.phase == Phase::Silencing && !live {
            self.happened(PodFact::Silent).await;
        }
    }

    pub(super) async fn lose_containers(&mut self, message: &str) {
        let ids: Vec<ContainerId> = self.entries.keys().cloned().collect();
        for id in ids {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.forget_images();
            }
            let fact = Fact::Lost {
                at_ns: wall_clock::now_ns(),
                message: message.to_owned(),
            };
            self.tell(&id, fact).await;
        }
    }

    pub(super) async fn done(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Placed {
                container,
                result,
                reply,
            } => self.placed(container, result, reply).await,
            Outcome::Started { container, result } => self.started(&container, *result).await,
            Outcome::Settled {
                container,
                images_gone,
            } => self.settled(&container, images_gone).await,
            Outcome::Removed { container, result } => self.removed(&container, result),
            Outcome::Updated {
                container,
                change,
                result,
                reply,
            } => {
                let result = self.updated(&container, &change, result).await;
                // A caller that went away sees it in the container's status.
                drop(reply.send(result));
            }
            Outcome::Silent => self.happened(PodFact::Silent).await,
            Outcome::TornDown(result) => self.torn_down(result).await,
            Outcome::SharesLost => self.shares_lost().await,
            Outcome::Nothing => {}
        }
    }
}
