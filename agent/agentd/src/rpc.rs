//! The server's side of agent.proto: each method decodes and checks, calls, and encodes.

mod making;
mod mount_volume;

use std::{path::PathBuf, sync::Arc, time::Duration};

use agent::{MAX_SPEC_BYTES, PROTOCOL_VERSION, agent as wire, agent_ttrpc::Agent};
use async_trait::async_trait;
use container::spec;
use tokio::sync::{Notify, Semaphore};
use ttrpc::r#async::{ServerStreamSender, TtrpcContext};

use crate::{
    apparmor,
    arguments::Setting,
    container_disks::DiskPlan,
    containers::{FirstProcess, Owner, PodState},
    deadlines::{DEVICE_DEADLINE, MAX_DEVICE_DEADLINE},
    devices,
    fault::{Fault, FaultKind},
    ids::{ContainerId, ExecId, VolumeId},
    image_files::ImageFiles,
    machine, network, pod,
    pod_files::{self, PodFiles},
    scratch::Scratch,
    start::{self, ContainerPlan, PidPlan, RootPlan, StdioPlan, window_size},
    usage,
    volumes::{VolumeMount, Volumes},
};

use making::{Making, make_pod, mount_scratch};

/// What the methods need.
pub(crate) struct Service {
    pub(crate) setting: Arc<Setting>,
    pub(crate) owner: Owner,
    pub(crate) volumes: Volumes,
    pub(crate) scratch: Scratch,
    /// CLOCK_BOOTTIME when the server was ready.
    pub(crate) ready_at_us: u64,
    pub(crate) shutdown: Arc<Notify>,
    pub(crate) network: Network,
    /// One update of limits after the other: each puts back what was before it.
    pub(crate) update_turn: Arc<Semaphore>,
}

/// Makes the pod's network, one call after the other: two at once would each undo the other's.
#[derive(Clone)]
pub(crate) struct Network {
    guest: bool,
    turn: Arc<Semaphore>,
}

#[async_trait]
impl Agent for Service {
    async fn hello(
        &self,
        _context: &TtrpcContext,
        request: wire::HelloRequest,
    ) -> ttrpc::Result<wire::HelloResponse> {
        let count = |list| u32::try_from(machine::processors(list).len()).unwrap_or(u32::MAX);
        let theirs = request.protocol_version;
        if theirs != PROTOCOL_VERSION {
            let message =
                format!("this agent speaks protocol {PROTOCOL_VERSION}, the host {theirs}");
            return Err(Fault::precondition(message).into());
        }
        Ok(wire::HelloResponse {
            protocol_version: PROTOCOL_VERSION,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            kernel_release: machine::kernel_release(),
            memory_bytes: machine::memory_bytes(),
            processors_present: count("present"),
            processors_online: count("online"),
            ready_at_us: self.ready_at_us,
            ..Default::default()
        })
    }

    async fn start_pod(
        &self,
        _context: &TtrpcContext,
        request: wire::StartPodRequest,
    ) -> ttrpc::Result<wire::StartPodResponse> {
        ContainerId::parse(&request.pod_id)?;
        let first = request.container.as_ref();
        let plan = first
            .map(|container| self.container_plan(container))
            .transpose()?;
        pod_files::check(&request)?;
        let disk = request.scratch_pci_address.as_str();
        let disk = (!disk.is_empty()).then(|| disk.parse()).transpose()?;
        let namespaces = pod::namespaces(&request)?;
        let wanted = request.network.as_ref().map(network::parse).transpose()?;
        if let PodState::Made(response) = self.owner.begin_pod(request.clone()).await? {
            return Ok(response);
        }
        let (owner, network) = (self.owner.clone(), self.network.clone());
        let scratch = self.scratch.clone();
        let making = Making {
            setting: Arc::clone(&self.setting),
            request,
            files: PodFiles::below(&self.setting.state),
            namespaces,
        };
        Ok(to_its_end(async move {
            let devices = async {
                network.set(wanted, DEVICE_DEADLINE).await?;
                match disk {
                    Some(address) => mount_scratch(scratch, address).await,
                    None => Ok(()),
                }
            };
            let made = match devices.await {
                Ok(()) => make_pod(&owner, making, plan).await,
                Err(fault) => Err(fault),
            };
            owner.end_pod(made.as_ref().ok().cloned()).await;
            made
        })
        .await?)
    }

    async fn set_network(
        &self,
        _context: &TtrpcContext,
        request: wire::SetNetworkRequest,
    ) -> ttrpc::Result<wire::SetNetworkResponse> {
        let deadline = Duration::from_millis(request.timeout_ms).min(MAX_DEVICE_DEADLINE);
        let wanted = network::parse(request.network.get_or_default())?;
        let network = self.network.clone();
        to_its_end(async move { network.set(Some(wanted), deadline).await }).await?;
        Ok(wire::SetNetworkResponse::default())
    }

    async fn add_device(
        &self,
        _context: &TtrpcContext,
        request: wire::AddDeviceRequest,
    ) -> ttrpc::Result<wire::AddDeviceResponse> {
        let deadline = Duration::from_millis(request.timeout_ms).min(MAX_DEVICE_DEADLINE);
        let device = devices::add(request.pci_address.parse()?, deadline).await?;
        let block_device = device
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        Ok(wire::AddDeviceResponse {
            block_device,
            ..Default::default()
        })
    }

    async fn remove_device(
        &self,
        _context: &TtrpcContext,
        request: wire::RemoveDeviceRequest,
    ) -> ttrpc::Result<wire::RemoveDeviceResponse> {
        devices::remove(request.pci_address.parse()?).await?;
        Ok(wire::RemoveDeviceResponse::default())
    }

    async fn write_volume(
        &self,
        _context: &TtrpcContext,
        request: wire::WriteVolumeRequest,
    ) -> ttrpc::Result<wire::WriteVolumeResponse> {
        self.volumes.write(request).await?;
        Ok(wire::WriteVolumeResponse::default())
    }

    async fn mount_volume(
        &self,
        _context: &TtrpcContext,
        request: wire::MountVolumeRequest,
    ) -> ttrpc::Result<wire::MountVolumeResponse> {
        mount_volume::mount_volume(self, request).await?;
        Ok(wire::MountVolumeResponse::default())
    }

    async fn read_volume_file(
        &self,
        _context: &TtrpcContext,
        request: wire::ReadVolumeFileRequest,
    ) -> ttrpc::Result<wire::ReadVolumeFileResponse> {
        let id = VolumeId::parse(&request.volume_id)?;
        let read = self.volumes.read(id, &request.path, request.max_bytes);
        Ok(wire::ReadVolumeFileResponse {
            content: read.await?,
            ..Default::default()
        })
    }

    async fn sync_volume(
        &self,
        _context: &TtrpcContext,
        request: wire::SyncVolumeRequest,
    ) -> ttrpc::Result<wire::SyncVolumeResponse> {
        let id = VolumeId::parse(&request.volume_id)?;
        self.volumes.sync(id).await?;
        Ok(wire::SyncVolumeResponse::default())
    }

    async fn remove_volume(
        &self,
        _context: &TtrpcContext,
        request: wire::RemoveVolumeRequest,
    ) -> ttrpc::Result<wire::RemoveVolumeResponse> {
        let id = VolumeId::parse(&request.volume_id)?;
        self.volumes.remove(id).await?;
        Ok(wire::RemoveVolumeResponse::default())
    }

    async fn load_app_armor_policy(
        &self,
        _context: &TtrpcContext,
        request: wire::LoadAppArmorPolicyRequest,
    ) -> ttrpc::Result<wire::LoadAppArmorPolicyResponse> {
        apparmor::load(&self.setting, request.policy).await?;
        Ok(wire::LoadAppArmorPolicyResponse::default())
    }

    async fn start_container(
        &self,
        _context: &TtrpcContext,
        request: wire::StartContainerRequest,
    ) -> ttrpc::Result<wire::StartContainerResponse> {
        let plan = self.container_plan(&request)?;
        Ok(started(self.owner.start_container(plan).await?))
    }

    async fn exec_process(
        &self,
        _context: &TtrpcContext,
        request: wire::ExecProcessRequest,
    ) -> ttrpc::Result<wire::ExecProcessResponse> {
        let id = ContainerId::parse(&request.container_id)?;
        let exec = ExecId::parse_new(&request.exec_id)?;
        let json = limited("oci_process", &request.oci_process)?;
        let process = spec::parse_process(json).map_err(Fault::from)?;
        let stdio = StdioPlan::parse(request.stdio.get_or_default())?;
        let pid = self.owner.exec(id, exec, process, stdio).await?;
        Ok(wire::ExecProcessResponse {
            pid: number(pid),
            ..Default::default()
        })
    }

    async fn signal_process(
        &self,
        _context: &TtrpcContext,
        request: wire::SignalProcessRequest,
    ) -> ttrpc::Result<wire::SignalProcessResponse> {
        let id = ContainerId::parse(&request.container_id)?;
        let exec = ExecId::parse(&request.exec_id)?;
        let signal = i32::try_from(request.signal)
            .ok()
            .filter(|signal| (1..=64).contains(signal));
        let Some(signal) = signal else {
            return Err(Fault::invalid(format!("{} is no signal", request.signal)).into());
        };
        match request.all {
            false => self.owner.signal(id, exec, signal).await?,
            true => self.owner.signal_all(id, exec, signal).await?,
        }
        Ok(wire::SignalProcessResponse::default())
    }

    async fn end_execs(
        &self,
        _context: &TtrpcContext,
        request: wire::EndExecsRequest,
    ) -> ttrpc::Result<wire::EndExecsResponse> {
        let id = ContainerId::parse(&request.container_id)?;
        self.owner.end_execs(id).await?;
        Ok(wire::EndExecsResponse::default())
    }

    async fn resize_terminal(
        &self,
        _context: &TtrpcContext,
        request: wire::ResizeTerminalRequest,
    ) -> ttrpc::Result<wire::ResizeTerminalResponse> {
        let id = ContainerId::parse(&request.container_id)?;
        let exec = ExecId::parse(&request.exec_id)?;
        let size = window_size(request.columns, request.rows)?;
        self.owner.resize(id, exec, size).await?;
        Ok(wire::ResizeTerminalResponse::default())
    }

    async fn remove_container(
        &self,
        _context: &TtrpcContext,
        request: wire::RemoveContainerRequest,
    ) -> ttrpc::Result<wire::RemoveContainerResponse> {
        self.owner
            .remove(ContainerId::parse(&request.container_id)?)
            .await?;
        Ok(wire::RemoveContainerResponse::default())
    }

    async fn container_usage(
        &self,
        _context: &TtrpcContext,
        request: wire::ContainerUsageRequest,
    ) -> ttrpc::Result<wire::ContainerUsageResponse> {
        let id = ContainerId::parse(&request.container_id)?;
        let holdings = self.owner.holdings(id.clone()).await?;
        let used = start::blocking(move || {
            usage::container(&id, &holdings)
                .ok_or_else(|| Fault::not_found(format!("container {id} is being removed")))
        });
        Ok(used.await?)
    }

    async fn pod_usage(
        &self,
        _context: &TtrpcContext,
        _request: wire::PodUsageRequest,
    ) -> ttrpc::Result<wire::PodUsageResponse> {
        let containers = self.owner.all_holdings().await?;
        let setting = Arc::clone(&self.setting);
        Ok(start::blocking(move || Ok(usage::pod(containers, &setting))).await?)
    }

    async fn update_container(
        &self,
        _context: &TtrpcContext,
        request: wire::UpdateContainerRequest,
    ) -> ttrpc::Result<wire::UpdateContainerResponse> {
        let id = ContainerId::parse(&request.container_id)?;
        let json = limited("oci_resources", &request.oci_resources)?;
        let resources = spec::parse_resources(json).map_err(Fault::from)?;
        let holdings = self.owner.holdings(id).await?;
        let turn = Arc::clone(&self.update_turn).acquire_owned().await;
        let turn = turn.map_err(|closed| Fault::internal(&closed))?;
        let update = start::blocking(move || {
            let updated = holdings.cgroup.update(&resources);
            drop(turn);
            Ok(updated?)
        });
        to_its_end(update).await?;
        Ok(wire::UpdateContainerResponse::default())
    }

    async fn events(
        &self,
        _context: &TtrpcContext,
        request: wire::EventsRequest,
        stream: ServerStreamSender<wire::Event>,
    ) -> ttrpc::Result<()> {
        let mut newest = self.owner.newest_event();
        let mut after = request.after;
        loop {
            // Marked as seen before the journal is asked, so that an event in between wakes the wait.
            newest.mark_unchanged();
            let events = self.owner.events(after).await?;
            for event in &events {
                stream.send(event).await?;
                after = event.sequence;
            }
            if events.is_empty() && newest.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn shutdown(
        &self,
        _context: &TtrpcContext,
        _request: wire::ShutdownRequest,
    ) -> ttrpc::Result<wire::ShutdownResponse> {
        let killed = self.owner.kill_all().await;
        // Off it goes even if something survived the kill: the host's next step is harder.
        self.shutdown.notify_one();
        killed?;
        Ok(wire::ShutdownResponse::default())
    }
}

impl Network {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self {
            guest: setting.guest,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    async fn set(&self, wanted: Option<network::Wanted>, deadline: Duration) -> Result<(), Fault> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        if !self.guest {
            return Err(Fault::precondition(
                "this agent runs on a host: its network can't be set",
            ));
        }
        let turn = self.turn.acquire().await;
        let _turn = turn.map_err(|closed| Fault::internal(&closed))?;
        network::set(&wanted, deadline).await
    }
}

impl Service {
    fn container_plan(
        &self,
        request: &wire::StartContainerRequest,
    ) -> Result<ContainerPlan, Fault> {
        let root = request.root.get_or_default();
        let plan = match (root.image_pci_address.as_str(), root.directory.as_str()) {
            ("", "") if !root.files.is_empty() => RootPlan::Files(self.image_files(&root.files)?),
            ("", "") => return Err(Fault::invalid("the container has no root")),
            (address, "") => RootPlan::Disk(address.parse()?),
            (_, _) if self.setting.guest => {
                return Err(Fault::invalid(
                    "a directory as root is for the agent of a host only",
                ));
            }
            ("", directory) => RootPlan::Directory(absolute(directory)?),
            _ => return Err(Fault::invalid("the container has two roots")),
        };
        Ok(ContainerPlan {
            id: ContainerId::parse(&request.container_id)?,
            spec: spec::parse(limited("oci_spec", &request.oci_spec)?)?,
            root: plan,
            writable_bytes: root.writable_bytes,
            stdio: StdioPlan::parse(request.stdio.get_or_default())?,
            pid: PidPlan::parse(request)?,
            ends_with_first_process: request.ends_with_first_process,
            user: None,
            mounts: VolumeMount::parse_all(&request.mounts)?,
            disks: self.disks(&request.disks)?,
        })
    }

    fn disks(&self, disks: &[wire::ContainerDisk]) -> Result<Vec<DiskPlan>, Fault> {
        if !disks.is_empty() && !self.setting.guest {
            return Err(Fault::invalid("disks are for the agent of a guest only"));
        }
        DiskPlan::parse_all(disks)
    }

    fn image_files(&self, files: &[wire::ImageFile]) -> Result<ImageFiles, Fault> {
        if self.setting.guest {
            return Err(Fault::invalid(
                "an image's files are for the agent of a host only",
            ));
        }
        ImageFiles::parse(files)
    }
}

/// In a task of its own, so that a host that goes away leaves nothing half done.
async fn to_its_end<Value: Send + 'static>(
    work: impl Future<Output = Result<Value, Fault>> + Send + 'static,
) -> Result<Value, Fault> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|error| Err(Fault::internal(&error)))
}

fn limited<'a>(field: &str, json: &'a [u8]) -> Result<&'a [u8], Fault> {
    if json.len() > MAX_SPEC_BYTES {
        let length = json.len();
        let message = format!("{field} has {length} bytes, the limit is {MAX_SPEC_BYTES}");
        return Err(Fault::new(FaultKind::InvalidArgument, message));
    }
    Ok(json)
}

fn absolute(path: &str) -> Result<PathBuf, Fault> {
    if path.starts_with('/') {
        Ok(path.into())
    } else {
        Err(Fault::invalid(format!("{path:?} is not an absolute path")))
    }
}

/// Process ids are positive.
fn started(process: FirstProcess) -> wire::StartContainerResponse {
    let user = process.user.map(|user| wire::ProcessUser {
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids,
        ..Default::default()
    });
    wire::StartContainerResponse {
        pid: number(process.pid),
        user: user.into(),
        ..Default::default()
    }
}

fn number(pid: i32) -> u32 {
    u32::try_from(pid).unwrap_or(0)
}
