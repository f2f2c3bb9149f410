//! The handle to one machine. Main type: [`Monitor`]. It sends commands to the `keeper`, which owns the sockets.

#[cfg(test)]
mod tests;

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use monitor::{DiskId, Ending, PciAddress, Reply, Request, Running, Status};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{
    Deadlines,
    channel::ChannelError,
    keeper::{self, Command, Keeper},
    launch::{self, LaunchError},
    plan::{BlockDevicePlan, DiskPlan, FunctionPlan, LaunchPlan, NicPlan, Parcel, SharePlan},
    process::Process,
    run_folder::{self, SocketError},
};

/// How many commands wait for the keeper before a caller waits too.
const COMMANDS: usize = 16;

/// One running machine.
///
/// Dropping the handle of a machine that lives with its launcher ends the machine; another one runs on and can be attached
/// to again.
#[derive(Debug)]
pub struct Monitor {
    commands: mpsc::Sender<Command>,
    ending: watch::Receiver<Option<Ending>>,
    kill: Arc<Notify>,
    run_folder: PathBuf,
    pid: Option<u32>,
}

/// Why a monitor could not be attached to.
#[derive(Debug, Error)]
pub enum AttachError {
    /// No monitor answers there: it is gone, and its pod with it.
    #[error("no monitor listens in {run_folder}")]
    Gone {
        /// Where it was looked for.
        run_folder: PathBuf,
        /// The kernel's answer.
        #[source]
        source: SocketError,
    },
    /// It listens and does not answer as it should.
    #[error("the monitor in {run_folder} does not say how it is")]
    Dumb {
        /// Where.
        run_folder: PathBuf,
        /// What came instead.
        #[source]
        source: RequestError,
    },
    /// Its answer came without the descriptor that stands for its process.
    #[error("the monitor in {run_folder} did not pass a descriptor of its process")]
    NoProcess {
        /// Where.
        run_folder: PathBuf,
    },
}

/// Why a request was not fulfilled.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The monitor said no; nothing changed.
    #[error("the monitor refused: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
    /// The machine is over.
    #[error("the machine has ended: {}: {}", .0.reason, .0.text)]
    Ended(Ending),
    /// No answer in time.
    #[error("the monitor did not answer within {deadline:?}")]
    Late {
        /// How long it had.
        deadline: Duration,
    },
    /// The control socket was lost and can't be had again.
    #[error("connect to the monitor again")]
    Connect(#[source] SocketError),
    /// The control socket failed.
    #[error("talk to the monitor")]
    Channel(#[source] ChannelError),
    /// An answer to another question.
    #[error("the monitor's answer does not fit the request: {0}")]
    Answer(String),
}

impl Monitor {
    /// Launches a machine and returns when its processors run.
    ///
    /// # Errors
    /// When that fails; then there is no process and no socket.
    pub async fn launch(plan: LaunchPlan) -> Result<(Self, Running), LaunchError> {
        let run_folder = plan.run_folder.clone();
        let (lifetime, deadlines) = (plan.lifetime, plan.deadlines);
        let born = launch::launch(plan).await?;
        let keeper = Keeper {
            run_folder,
            control: Some(born.control),
            launch: Some((born.launch, lifetime)),
            process: born.process,
            kill: Arc::default(),
            deadlines,
        };
        Ok((Self::keep(keeper), born.running))
    }

    /// Attaches to the monitor that listens in this run folder, whoever launched it.
    ///
    /// # Errors
    /// When none answers there.
    pub async fn attach(run_folder: &Path, deadlines: Deadlines) -> Result<Self, AttachError> {
        let folder = run_folder.to_owned();
        let gone = |source| AttachError::Gone {
            run_folder: folder.clone(),
            source,
        };
        let control = run_folder::connect(run_folder).map_err(gone)?;
        let dumb = |source| AttachError::Dumb {
            run_folder: folder.clone(),
            source,
        };
        let deadline = deadlines.request;
        let wait = tokio::time::timeout(deadline, keeper::ask_status(&control));
        let (_, pidfd) = wait
            .await
            .unwrap_or(Err(RequestError::Late { deadline }))
            .map_err(dumb)?;
        let Some(process) = pidfd.and_then(|fd| Process::foreign(fd).ok()) else {
            return Err(AttachError::NoProcess { run_folder: folder });
        };
        let keeper = Keeper {
            run_folder: folder,
            control: Some(control),
            launch: None,
            process,
            kill: Arc::default(),
            deadlines,
        };
        Ok(Self::keep(keeper))
    }

    fn keep(keeper: Keeper) -> Self {
        let run_folder = keeper.run_folder.clone();
        let pid = keeper.process.pid();
        let kill = Arc::clone(&keeper.kill);
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (ending_out, ending) = watch::channel(None);
        tokio::spawn(keeper.run(commands_in, ending_out));
        Self {
            commands,
            ending,
            kill,
            run_folder,
            pid,
        }
    }

    /// The monitor's process id on this host, if it can be told.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The unix socket behind the guest's vsock: connect, write `CONNECT <port>\n`, read `OK <port>\n`.
    #[must_use]
    pub fn vsock_path(&self) -> PathBuf {
        self.run_folder.join(run_folder::VSOCK_SOCKET)
    }

    /// Puts a disk on the machine's bus; the guest sees it after a rescan.
    ///
    /// # Errors
    /// When the monitor refuses or is gone.
    pub async fn add_disk(&self, disk: DiskPlan) -> Result<PciAddress, RequestError> {
        let mut parcel = Parcel::default();
        let request = Request::AddDisk(disk.message_part(&mut parcel));
        drop(parcel);
        let files = disk
            .segments
            .into_iter()
            .map(|segment| segment.file.into())
            .collect();
        match self.ask(request, files).await? {
            Reply::Added { pci_address } => Ok(pci_address),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Puts a block device of the host on the machine's bus as a disk; the guest sees it after a rescan.
    ///
    /// # Errors
    /// When the monitor refuses or is gone.
    pub async fn add_block_device(
        &self,
        device: BlockDevicePlan,
    ) -> Result<PciAddress, RequestError> {
        let mut parcel = Parcel::default();
        let request = Request::AddBlockDevice(device.message_part(&mut parcel));
        drop(parcel);
        match self.ask(request, vec![device.file.into()]).await? {
            Reply::Added { pci_address } => Ok(pci_address),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Lets the guest have all of a block device that may have grown. How many bytes it has now.
    ///
    /// # Errors
    /// When the device has become smaller, there is no such disk, or the monitor is gone.
    pub async fn grow_block_device(&self, id: DiskId) -> Result<u64, RequestError> {
        let request = Request::GrowBlockDevice { id };
        match self.ask(request, Vec::new()).await? {
            Reply::Length { bytes } => Ok(bytes),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Puts a NIC on the machine's bus; the guest sees it after a rescan.
    ///
    /// # Errors
    /// When the monitor refuses or is gone.
    pub async fn add_nic(&self, nic: NicPlan) -> Result<PciAddress, RequestError> {
        let mut parcel = Parcel::default();
        let request = Request::AddNic(nic.message_part(&mut parcel));
        drop(parcel);
        match self.ask(request, nic.into_fds()).await? {
            Reply::Added { pci_address } => Ok(pci_address),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Puts a share on the machine's bus; the guest sees it after a rescan.
    ///
    /// # Errors
    /// When the monitor refuses or is gone.
    pub async fn add_share(&self, share: SharePlan) -> Result<PciAddress, RequestError> {
        let mut parcel = Parcel::default();
        let request = Request::AddShare(share.message_part(&mut parcel));
        drop(parcel);
        match self.ask(request, vec![share.socket]).await? {
            Reply::Added { pci_address } => Ok(pci_address),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Puts a function of the host on the machine's bus; the guest sees it after a rescan. All of its memory is pinned first.
    ///
    /// # Errors
    /// When the monitor refuses or is gone.
    pub async fn add_function(&self, function: FunctionPlan) -> Result<PciAddress, RequestError> {
        let mut parcel = Parcel::default();
        let request = Request::AddFunction(function.message_part(&mut parcel));
        drop(parcel);
        let fds = vec![function.container.into(), function.group.into()];
        match self.ask(request, fds).await? {
            Reply::Added { pci_address } => Ok(pci_address),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Takes a disk, a NIC, a share or a function of the host off the machine's bus, after the guest has let go of it.
    ///
    /// # Errors
    /// When the monitor refuses or is gone.
    pub async fn remove_device(&self, pci_address: PciAddress) -> Result<(), RequestError> {
        match self
            .ask(Request::RemoveDevice { pci_address }, Vec::new())
            .await?
        {
            Reply::Removed => Ok(()),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Asks the monitor how it is.
    ///
    /// # Errors
    /// When it is gone or does not answer.
    pub async fn status(&self) -> Result<Status, RequestError> {
        match self.ask(Request::Status, Vec::new()).await? {
            Reply::Status(status) => Ok(status),
            other => Err(RequestError::Answer(format!("{other:?}"))),
        }
    }

    /// Ends the machine: asks the monitor, kills it when it has not ended by the deadline, and returns when its process is
    /// gone. A machine that is over already gives its ending again.
    pub async fn stop(&self, deadline: Duration) -> Ending {
        let asked = async {
            // Whatever the answer is, the ending tells what became of it.
            drop(self.ask(Request::Stop, Vec::new()).await);
            self.ended().await
        };
        if let Ok(ending) = tokio::time::timeout(deadline, asked).await {
            return ending;
        }
        self.kill.notify_one();
        self.ended().await
    }

    /// Waits for the machine's end. Any number of callers may wait, and those that come late get the same answer.
    pub async fn ended(&self) -> Ending {
        let mut ending = self.ending.clone();
        let found = ending
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ending| ending.clone());
        found.unwrap_or_else(|| Ending {
            reason: monitor::EndReason::Lost,
            text: "the task that watched the monitor is gone: the runtime was shut down".to_owned(),
            console_tail: String::new(),
        })
    }

    async fn ask(&self, request: Request, fds: Vec<OwnedFd>) -> Result<Reply, RequestError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Ask {
            request,
            fds,
            reply,
        };
        // A keeper that is gone has published the ending. Its answer's other end is in what was not sent: nobody waits for it.
        if self.commands.send(command).await.is_err() {
            return Err(RequestError::Ended(self.ended().await));
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Ended(self.ended().await)),
        }
    }
}
