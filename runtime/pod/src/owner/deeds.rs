//! What the owner has done by tasks beside it, because it takes time. Each ends in an [`Outcome`] that the owner is told.

use std::time::Duration;

use agent_client::{Agent, ContainerDisk, ContainerStart, Output, Root as AgentRoot, Stdio};
use model::{BlockDevice, ContainerId, LimitsChange, NamespaceOf, Security};
use oci_spec::runtime::Spec;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use vm_client::PciAddress;

use super::{command::first_process, containers::StartedContainer};
use crate::{
    Deadlines,
    block_devices::BlockDevices,
    book::Book,
    container::Container,
    error::PodError,
    handle::Streams,
    home::{Home, ImagePlace, Places},
    launch::{agent_call, while_alive},
    output::{Follower, Following},
    plan::RootSegment,
    shares::SharesLost,
    teardown::{Held, teardown},
    volumes::{self, Carriers},
};

/// SIGKILL.
const KILL: u32 = 9;

/// What a deed came to.
pub(super) enum Outcome {
    Placed {
        container: ContainerId,
        result: Result<Places, PodError>,
        reply: oneshot::Sender<Result<(), PodError>>,
    },
    Started {
        container: ContainerId,
        result: Box<Result<StartedContainer, PodError>>,
    },
    Settled {
        container: ContainerId,
        images_gone: bool,
    },
    Removed {
        container: ContainerId,
        result: Result<(), PodError>,
    },
    Updated {
        container: ContainerId,
        change: Box<LimitsChange>,
        result: Result<(), PodError>,
        reply: oneshot::Sender<Result<(), PodError>>,
    },
    /// The containers of a pod that is being stopped have ended, or had their time.
    Silent,
    TornDown(Result<(), PodError>),
    SharesLost,
    Nothing,
}

/// What a container needs from before its start.
pub(super) struct Placing {
    pub(super) agent: Option<Agent>,
    pub(super) apparmor_policy: Option<Vec<u8>>,
    pub(super) root: Vec<RootSegment>,
    pub(super) images: Vec<Vec<RootSegment>>,
    pub(super) devices: Option<BlockDevices>,
    pub(super) security: Security,
}

/// Puts a container's root and the images that it mounts where the agent can mount them: all of them, or none.
pub(super) async fn place(
    home: Home,
    container: ContainerId,
    placing: Placing,
    (reply, deadline): (oneshot::Sender<Result<(), PodError>>, Duration),
) -> Outcome {
    let security = placing.security;
    let work = async {
        // First, for it is what the guest may refuse. What it has loaded stays, as it would on a node.
        if let Some(policy) = placing.apparmor_policy {
            let agent = placing.agent.ok_or(PodError::TornDown)?;
            let loaded = agent.load_apparmor_policy(policy, deadline).await;
            loaded.map_err(|source| PodError::AppArmor {
                profile: security.apparmor_profile.unwrap_or_default(),
                source,
            })?;
        }
        let places = home.place(&container, placing.root, placing.images).await?;
        let devices = (placing.devices, security.block_devices);
        with_devices(&home, &container, places, devices).await
    };
    let result = work.await;
    Outcome::Placed {
        container,
        result,
        reply,
    }
}

/// Puts its block devices beside the images that are in place: all of that, or none.
async fn with_devices(
    home: &Home,
    container: &ContainerId,
    mut places: Places,
    (devices, wanted): (Option<BlockDevices>, Vec<BlockDevice>),
) -> Result<Places, PodError> {
    if wanted.is_empty() {
        return Ok(places);
    }
    let got = match devices {
        Some(devices) => devices.get(container.clone(), wanted).await,
        // On the node there is no bus to put them on.
        None => Err(PodError::TornDown),
    };
    match got {
        Ok(disks) => {
            places.disks = disks;
            Ok(places)
        }
        Err(error) => {
            places.images.push(places.root);
            home.take_away(places.images).await;
            Err(error)
        }
    }
}

pub(super) async fn take_away(
    home: Home,
    container: ContainerId,
    images: Vec<ImagePlace>,
    devices: Option<BlockDevices>,
) -> Outcome {
    home.take_away(images).await;
    free_devices(devices.as_ref(), &container).await;
    Outcome::Nothing
}

/// What can't be taken away is said in the log: nobody has it, so it goes with the next one that does, or with the pod.
async fn free_devices(devices: Option<&BlockDevices>, container: &ContainerId) {
    if let Some(devices) = devices
        && let Err(error) = devices.free(container.clone()).await
    {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(%container, error, "a block device stays in the pod's VM");
    }
}

/// What a start needs.
pub(super) struct Start {
    pub(super) container: Container,
    pub(super) image: ImagePlace,
    pub(super) specification: Spec,
    /// Where its output goes, unless to whoever starts it.
    pub(super) following: Option<Following>,
    /// What brings in the folders that it mounts.
    pub(super) carriers: Carriers,
}

pub(super) async fn start(home: Home, agent: Agent, start: Start, deadlines: Deadlines) -> Outcome {
    let id = start.container.id.clone();
    let work = run_first_process(&agent, start, deadlines);
    let result = while_alive(&home, "the container was started", deadlines, work).await;
    Outcome::Started {
        container: id,
        result: Box::new(result),
    }
}

async fn run_first_process(
    agent: &Agent,
    start: Start,
    deadlines: Deadlines,
) -> Result<StartedContainer, PodError> {
    // First: a container without a place for its output had better not run.
    let followed = match start.following {
        Some(following) => {
            let log = Follower::make_log(&following).await?;
            Some((following, log))
        }
        None => None,
    };
    let mounts = volumes::make(agent, &start.container, &start.carriers, deadlines).await?;
    let spec = &start.container.spec;
    let oci_spec = serde_json::to_vec(&start.specification)
        .map_err(|error| PodError::Specification(error.into()))?;
    let terminal = spec.terminal.map(|terminal| {
        terminal.size.map_or((0, 0), |size| {
            (u32::from(size.columns), u32::from(size.rows))
        })
    });
    let request = ContainerStart {
        container_id: start.container.id.to_string(),
        root: match start.image {
            ImagePlace::Disk(disk) => AgentRoot::Disk {
                pci_address: disk.to_string(),
            },
            ImagePlace::Files(files) => AgentRoot::Files(files),
        },
        writable_bytes: start.container.writable_bytes,
        oci_spec,
        stdio: Stdio {
            stdin: spec.stdin,
            terminal,
        },
        share_pid_namespace: spec.namespaces.pid == NamespaceOf::Pod
            && spec.namespaces.pid_target.is_none(),
        target_container_id: match &spec.namespaces.pid_target {
            Some(target) => target.to_string(),
            None => String::new(),
        },
        ends_with_first_process: spec.namespaces.pid == NamespaceOf::Node,
        mounts,
        disks: disks(&start.container),
    };
    let first = agent_call(
        "start the container",
        agent.start_container(request, deadlines.start),
    )
    .await?;
    let process = first_process(&start.container.id);
    // Input comes with those who attach.
    let stdin = spec.stdin && followed.is_none();
    let opened = open_streams(agent, &process, stdin, spec.terminal.is_some()).await;
    if opened.is_err() {
        // It runs and nobody would hear it. The error is the one to report; the container's removal says what it is worth.
        let container = &process.container_id;
        drop(agent.remove_container(container, deadlines.call).await);
    }
    opened.map(|streams| StartedContainer {
        streams,
        user: first.user,
        followed,
    })
}

/// Where the container has its block devices.
fn disks(container: &Container) -> Vec<ContainerDisk> {
    let devices = container.spec.security.block_devices.iter();
    let disk = |(device, address): (&BlockDevice, &PciAddress)| ContainerDisk {
        pci_address: address.to_string(),
        path: device.container_path.clone(),
        access: device.permissions.clone(),
        mode: device.mode,
        uid: device.uid,
        gid: device.gid,
    };
    devices.zip(&container.disks).map(disk).collect()
}

/// Connects a process's standard streams from their beginning.
pub(crate) async fn open_streams(
    agent: &Agent,
    process: &agent_client::ProcessRef,
    stdin: bool,
    terminal: bool,
) -> Result<Streams, PodError> {
    let stdin = if stdin {
        Some(
            agent
                .open_stdin(process, 0)
                .await
                .map_err(PodError::Stdio)?,
        )
    } else {
        None
    };
    let stdout = agent
        .open_output(process, Output::Stdout, 0)
        .await
        .map_err(PodError::Stdio)?;
    let stderr = if terminal {
        None
    } else {
        let opened = agent.open_output(process, Output::Stderr, 0).await;
        Some(opened.map_err(PodError::Stdio)?)
    };
    Ok(Streams {
        stdin,
        stdout,
        stderr,
    })
}

/// What the end of a container needs.
pub(super) struct Settle {
    pub(super) container: Container,
    /// Whoever started it has its streams.
    pub(super) with_caller: bool,
    pub(super) home: Option<Home>,
    pub(super) agent: Option<Agent>,
    pub(super) devices: Option<BlockDevices>,
    pub(super) follower: Option<Follower>,
    pub(super) book: Option<Book>,
}

/// Waits for the container's last output and writes back what it leaves to the host; then its end goes into the record, because the guest
/// forgets it; then what it has with the agent is freed, and its images.
pub(super) async fn settle(settle: Settle, deadlines: Deadlines) -> Outcome {
    let Settle {
        container,
        with_caller,
        home,
        agent,
        devices,
        follower,
        book,
    } = settle;
    if let Some(follower) = follower {
        follower.drained(deadlines.drain).await;
    }
    let id = container.id.clone();
    let mut images_gone = container.images().is_empty();
    if let Some(agent) = &agent {
        volumes::write_back(agent, &container, deadlines.call).await;
    }
    // Streams that a caller reads end with the container in the guest, so it stays there until it is removed or the pod ends.
    let frees = !with_caller && !images_gone && is_recorded(book.as_ref(), &container).await;
    if let (true, Some(home), Some(agent)) = (frees, home, agent) {
        match free(&home, &agent, (&container, devices.as_ref()), deadlines).await {
            Ok(()) => images_gone = true,
            Err(error) => {
                tracing::warn!(container = %id, error = &error as &dyn std::error::Error, "something of an ended container stays in the guest");
            }
        }
    }
    Outcome::Settled {
        container: id,
        images_gone,
    }
}

/// Puts the container's end into the record; true when a restart will find it there.
async fn is_recorded(book: Option<&Book>, container: &Container) -> bool {
    let Some(book) = book else {
        return true;
    };
    let saved = book.save_container(container.clone()).await;
    if let Err(error) = &saved {
        tracing::error!(
            container = %container.id,
            error = error as &dyn std::error::Error,
            "the end of a container can't be recorded, so what it has in the guest stays there"
        );
    }
    saved.is_ok()
}

async fn free(
    home: &Home,
    agent: &Agent,
    (container, devices): (&Container, Option<&BlockDevices>),
    deadlines: Deadlines,
) -> Result<(), PodError> {
    let work = async {
        let removed = agent.remove_container(container.id.as_str(), deadlines.call);
        agent_call("have the agent remove the container", removed).await?;
        if let Some(devices) = devices.filter(|_has| !container.disks.is_empty()) {
            devices.free(container.id.clone()).await?;
        }
        volumes::free(agent, home, container, deadlines.call).await?;
        match &container.image {
            Some(image) => home.free(agent, image, deadlines.call).await,
            None => Ok(()),
        }
    };
    while_alive(home, "a container was removed", deadlines, work).await
}

/// What the removal of a container needs.
pub(super) struct Remove {
    pub(super) container: ContainerId,
    pub(super) home: Option<Home>,
    pub(super) agent: Option<Agent>,
    pub(super) devices: Option<BlockDevices>,
    pub(super) images: Vec<ImagePlace>,
    pub(super) book: Option<Book>,
}

pub(super) async fn remove(remove: Remove, deadlines: Deadlines) -> Outcome {
    let Remove {
        container,
        home,
        agent,
        devices,
        images,
        book,
    } = remove;
    if let (Some(home), Some(agent)) = (home, agent)
        && !images.is_empty()
    {
        // One whose output went to a caller is with the agent still; of one that never started it knows nothing.
        let removed = agent.remove_container(container.as_str(), deadlines.call);
        if let Err(error) = removed.await {
            tracing::warn!(%container, error = &error as &dyn std::error::Error, "a container stays with the pod's agent");
        }
        home.take_away(images).await;
        free_devices(devices.as_ref(), &container).await;
    }
    let result = match book {
        Some(book) => book
            .forget_container(&container)
            .await
            .map_err(PodError::Record),
        None => Ok(()),
    };
    Outcome::Removed { container, result }
}

/// Kills all containers and gives their output time; the owner ends the wait when all have settled.
pub(super) async fn silence(
    agent: Agent,
    containers: Vec<ContainerId>,
    deadlines: Deadlines,
) -> Outcome {
    let kill = async {
        for id in &containers {
            // One that has ended meanwhile is as it should be; a guest that doesn't answer is ended by the teardown.
            drop(
                agent
                    .signal_container(id.as_str(), KILL, deadlines.call)
                    .await,
            );
        }
    };
    drop(timeout(deadlines.call, kill).await);
    sleep(deadlines.drain).await;
    Outcome::Silent
}

/// Waits until the pod's shares are lost, or nobody has them any more.
pub(super) async fn hear_of_lost_shares(lost: oneshot::Receiver<SharesLost>) -> Outcome {
    match lost.await {
        Ok(SharesLost) => Outcome::SharesLost,
        Err(_over) => Outcome::Nothing,
    }
}

pub(super) async fn tear_down(held: Held, deadlines: Deadlines) -> Outcome {
    Outcome::TornDown(teardown(held, deadlines).await)
}
