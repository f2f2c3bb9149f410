//! From a plan to a running machine. Main function: [`launch`]. Whatever fails on the way, or if the caller goes away, the
//! bundle of what was acquired ends the process and removes the sockets.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use monitor::{Invalid, Reply, Running};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    time::{ClockId, clock_gettime},
};
use thiserror::Error;

use crate::{
    channel::{Channel, ChannelError},
    lost::{self, Death},
    plan::LaunchPlan,
    process::{self, Newborn, Process},
    run_folder::{self, Bound, SocketError},
    words,
};

/// Why there is no machine.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// /dev/kvm can't be used.
    #[error("open /dev/kvm: is this host able to run virtual machines, and are you root?")]
    Kvm(#[source] io::Error),
    /// The plan asks for what no machine can be.
    #[error("the machine can't be as planned")]
    Plan(#[from] Invalid),
    /// The sockets in the run folder.
    #[error("make the machine's sockets")]
    Socket(#[from] SocketError),
    /// The monitor could not be started.
    #[error("start the monitor {program}")]
    Start {
        /// Its path.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not be moved to where it is to live.
    #[error("move the new monitor into its cgroup")]
    Cgroup(#[source] io::Error),
    /// The launch message did not reach it.
    #[error("talk to the new monitor")]
    Talk(#[source] ChannelError),
    /// It said why it can't do it.
    #[error("the monitor refused to start the machine: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
    /// It died without a word.
    #[error("{how}")]
    Died {
        /// What is known of its death.
        how: String,
    },
    /// It neither ran nor refused in time.
    #[error("the machine did not run within {deadline:?}; the monitor was killed")]
    Late {
        /// How long it had.
        deadline: Duration,
    },
}

/// What a finished launch gives.
#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) process: Process,
    pub(crate) launch: Channel,
    pub(crate) control: Channel,
    pub(crate) running: Running,
}

/// Launches and waits until the machine's processors run.
pub(crate) async fn launch(plan: LaunchPlan) -> Result<Born, LaunchError> {
    let deadline = plan.deadlines.launch;
    let wait = tokio::time::timeout(deadline, launch_unhurried(plan));
    wait.await.unwrap_or(Err(LaunchError::Late { deadline }))
}

async fn launch_unhurried(plan: LaunchPlan) -> Result<Born, LaunchError> {
    let kvm = File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(LaunchError::Kvm)?;
    let mut bound = run_folder::listen(&plan.run_folder)?;
    let (launch, mut newborn) = start(&plan, &bound, &kvm).await?;
    let running = first_word(&launch, &mut newborn).await?;
    let control = run_folder::connect(&plan.run_folder)?;
    let deadline = plan.deadlines.launch;
    let process = newborn.grown().ok_or(LaunchError::Late { deadline })?;
    bound.keep();
    Ok(Born {
        process,
        launch,
        control,
        running,
    })
}

async fn start(
    plan: &LaunchPlan,
    bound: &Bound,
    kvm: &File,
) -> Result<(Channel, Newborn), LaunchError> {
    let failed = |source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    };
    let (message, parcel) = plan.message(kvm, &bound.listeners, now_ns());
    message.check(parcel.fds().len())?;
    let pair = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    );
    let (ours, theirs) = pair.map_err(|errno| failed(errno.into()))?;
    let launch = Channel::new(ours).map_err(failed)?;
    let program = plan.program.clone();
    // Starting a process waits for its exec: that is not for a thread of the runtime.
    let started = tokio::task::spawn_blocking(move || process::start(&program, theirs)).await;
    let newborn = started
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(failed)?;
    // The monitor waits for its message: whatever it maps, and each thread that it starts, counts in the cgroup.
    if let (Some(cgroup), Some(pid)) = (&plan.cgroup, newborn.pid()) {
        let moved = (&*cgroup).write_all(pid.to_string().as_bytes());
        moved.map_err(LaunchError::Cgroup)?;
    }
    match launch.send(&message, parcel.fds()).await {
        // It is dead already; what is known of that comes when its first word is waited for.
        Err(error) if error.is_broken() => Ok((launch, newborn)),
        sent => sent.map(|()| (launch, newborn)).map_err(LaunchError::Talk),
    }
}

/// What the monitor says about its start.
async fn first_word(launch: &Channel, newborn: &mut Newborn) -> Result<Running, LaunchError> {
    match launch
        .receive::<Reply>()
        .await
        .map(|received| received.message)
    {
        Ok(Reply::Running(running)) => Ok(running),
        Ok(Reply::Refused { reason }) => Err(LaunchError::Refused {
            reason: words::printable(&reason),
        }),
        Ok(Reply::Ended(ending)) => Err(LaunchError::Died {
            how: words::printable(&ending.text),
        }),
        Err(ChannelError::Closed) => Err(LaunchError::Died {
            how: how_it_died(newborn).await,
        }),
        Ok(other) => Err(LaunchError::Died {
            how: format!("the monitor began with {other:?}"),
        }),
        Err(error) => Err(LaunchError::Talk(error)),
    }
}

async fn how_it_died(newborn: &mut Newborn) -> String {
    let Some(process) = newborn.process_mut() else {
        return String::new();
    };
    process.gone().await;
    let death = process.reap();
    let complaint = newborn
        .process()
        .map(Process::complaint)
        .unwrap_or_default();
    match death {
        Death::Known(status) if status.success() && complaint.is_empty() => {
            "the program that was started is not a monitor: it ended without a word".to_owned()
        }
        death => lost::ending(death, &complaint).text,
    }
}

/// CLOCK_MONOTONIC, which all processes of a host share.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}
