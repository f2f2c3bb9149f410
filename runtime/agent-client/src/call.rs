//! The handle of one agent: each call of agent.proto with its deadline, and the wait for an agent that is still booting.

use std::{io, time::Duration};

use agent::{PROTOCOL_VERSION, agent as wire, agent_ttrpc::AgentClient};
use model::PodNetwork;
use tokio::time::{Instant, sleep, timeout};
use ttrpc::{
    r#async::{Client, transport::Socket},
    context::{self, Context},
};

use crate::{
    connect::Connector,
    deadlines::{ATTEMPT_DEADLINE, FIRST_PAUSE, LONGEST_PAUSE},
    error::AgentError,
    events::EventStream,
    first_process::FirstProcess,
    network,
    request::{ContainerStart, PodStart, ProcessExec, ProcessRef},
    text::shown,
    usage::{PodUsage, Usage},
};

/// One agent that has answered Hello. Clones share its connection; dropping the last one closes it.
#[derive(Clone)]
pub struct Agent {
    pub(crate) client: AgentClient,
    pub(crate) connector: Connector,
    hello: Hello,
}

/// What an agent says of itself and its guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub agent_version: String,
    pub kernel_release: String,
    pub memory_bytes: u64,
    pub processors_present: u32,
    pub processors_online: u32,
    /// Since the guest's boot.
    pub ready_after: Duration,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Agent")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

impl Agent {
    /// Connects, and tries again until the agent answers or the deadline has passed: a guest that boots refuses, resets or loses
    /// connections until its agent listens. An agent of another protocol fails at once.
    ///
    /// # Errors
    /// [`AgentError::Deadline`] when it never answered, [`AgentError::Precondition`] when its version is not ours.
    pub async fn connect(connector: Connector, deadline: Duration) -> Result<Self, AgentError> {
        let until = Instant::now() + deadline;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = until
                .saturating_duration_since(Instant::now())
                .min(ATTEMPT_DEADLINE);
            match timeout(left, Self::attempt(&connector, left)).await {
                Ok(Ok(agent)) => return Ok(agent),
                Ok(Err(AgentError::Lost { .. } | AgentError::Deadline { .. })) | Err(_) => {}
                Ok(Err(refused)) => return Err(refused),
            }
            if Instant::now() + pause >= until {
                return Err(AgentError::Deadline {
                    call: "connect to the agent",
                });
            }
            // There is no event to wait for: the guest cannot tell us that it will listen.
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(connector: &Connector, deadline: Duration) -> Result<Self, AgentError> {
        const CALL: &str = "Hello";
        let stream = connector
            .rpc()
            .await
            .map_err(|error| AgentError::lost(CALL, &error))?;
        let client = AgentClient::new(Client::new(Socket::new(stream)));
        let request = wire::HelloRequest {
            protocol_version: PROTOCOL_VERSION,
            ..Default::default()
        };
        let answer = client
            .hello(context_of(deadline), &request)
            .await
            .map_err(|error| AgentError::from_rpc(CALL, error))?;
        if answer.protocol_version != PROTOCOL_VERSION {
            let theirs = answer.protocol_version;
            let message =
                format!("the agent speaks protocol {theirs}, this host {PROTOCOL_VERSION}");
            return Err(AgentError::Precondition { message });
        }
        let hello = Hello {
            agent_version: shown(&answer.agent_version),
            kernel_release: shown(&answer.kernel_release),
            memory_bytes: answer.memory_bytes,
            processors_present: answer.processors_present,
            processors_online: answer.processors_online,
            ready_after: Duration::from_micros(answer.ready_at_us),
        };
        Ok(Self {
            client,
            connector: connector.clone(),
            hello,
        })
    }

    /// What it said when it was connected.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The pid of the first container's process in the guest, when the pod has one.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn start_pod(
        &self,
        pod: PodStart,
        deadline: Duration,
    ) -> Result<Option<u32>, AgentError> {
        let request = wire::StartPodRequest::from(pod);
        let call = self.client.start_pod(context_of(deadline), &request);
        let answer = within("StartPod", deadline, call).await?;
        Ok(answer.container.as_ref().map(|container| container.pid))
    }

    /// The block device, when the device is a disk. The guest waits for it for `deadline`; the call a little longer.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn add_device(
        &self,
        pci_address: &str,
        deadline: Duration,
    ) -> Result<Option<String>, AgentError> {
        let request = wire::AddDeviceRequest {
            pci_address: pci_address.to_owned(),
            timeout_ms: milliseconds(deadline),
            ..Default::default()
        };
        let deadline = deadline.saturating_add(ATTEMPT_DEADLINE);
        let call = self.client.add_device(context_of(deadline), &request);
        let answer = within("AddDevice", deadline, call).await?;
        Ok((!answer.block_device.is_empty()).then(|| shown(&answer.block_device)))
    }

    /// Makes the guest's network so. The guest waits for its devices for `deadline`; the call a little longer.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn set_network(
        &self,
        network: &PodNetwork,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = wire::SetNetworkRequest {
            network: Some(network::to_wire(network)).into(),
            timeout_ms: milliseconds(deadline),
            ..Default::default()
        };
        let deadline = deadline.saturating_add(ATTEMPT_DEADLINE);
        let call = self.client.set_network(context_of(deadline), &request);
        within("SetNetwork", deadline, call).await.map(|_done| ())
    }

    /// When it has answered, the device may be taken away.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn remove_device(
        &self,
        pci_address: &str,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let pci_address = pci_address.to_owned();
        let request = wire::RemoveDeviceRequest {
            pci_address,
            ..Default::default()
        };
        let call = self.client.remove_device(context_of(deadline), &request);
        within("RemoveDevice", deadline, call).await.map(|_done| ())
    }

    /// Loads the AppArmor policy, at most 3 MiB, into the guest's kernel.
    ///
    /// # Errors
    /// As agent.proto says: a kernel without AppArmor is [`AgentError::Precondition`].
    pub async fn load_apparmor_policy(
        &self,
        policy: Vec<u8>,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = wire::LoadAppArmorPolicyRequest {
            policy,
            ..Default::default()
        };
        let call = (self.client).load_app_armor_policy(context_of(deadline), &request);
        let answer = within("LoadAppArmorPolicy", deadline, call).await;
        answer.map(|_done| ())
    }

    /// Its first process, once it has been executed.
    ///
    /// # Errors
    /// As agent.proto says: a missing command is [`AgentError::NotFound`].
    pub async fn start_container(
        &self,
        container: ContainerStart,
        deadline: Duration,
    ) -> Result<FirstProcess, AgentError> {
        let request = wire::StartContainerRequest::from(container);
        let call = self.client.start_container(context_of(deadline), &request);
        within("StartContainer", deadline, call)
            .await
            .map(FirstProcess::from)
    }

    /// The process's pid in the guest, once it has been executed.
    ///
    /// # Errors
    /// As agent.proto says: a missing command is [`AgentError::NotFound`].
    pub async fn exec_process(
        &self,
        exec: ProcessExec,
        deadline: Duration,
    ) -> Result<u32, AgentError> {
        let request = wire::ExecProcessRequest::from(exec);
        let call = self.client.exec_process(context_of(deadline), &request);
        within("ExecProcess", deadline, call)
            .await
            .map(|answer| answer.pid)
    }

    /// To one process.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn signal_process(
        &self,
        process: &ProcessRef,
        signal: u32,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        self.signal(process.clone(), signal, false, deadline).await
    }

    /// To every process of the container.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn signal_container(
        &self,
        container_id: &str,
        signal: u32,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let container_id = container_id.to_owned();
        let process = ProcessRef {
            container_id,
            exec_id: String::new(),
        };
        self.signal(process, signal, true, deadline).await
    }

    /// To an exec's process and every one that came from it, also when it has ended itself.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn signal_exec(
        &self,
        exec: &ProcessRef,
        signal: u32,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        self.signal(exec.clone(), signal, true, deadline).await
    }

    async fn signal(
        &self,
        process: ProcessRef,
        signal: u32,
        all: bool,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let ProcessRef {
            container_id,
            exec_id,
        } = process;
        let request = wire::SignalProcessRequest {
            container_id,
            exec_id,
            signal,
            all,
            ..Default::default()
        };
        let call = self.client.signal_process(context_of(deadline), &request);
        within("SignalProcess", deadline, call)
            .await
            .map(|_done| ())
    }

    /// Kills the container's execs that run, each with what came from it.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn end_execs(
        &self,
        container_id: &str,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let container_id = container_id.to_owned();
        let request = wire::EndExecsRequest {
            container_id,
            ..Default::default()
        };
        let call = self.client.end_execs(context_of(deadline), &request);
        within("EndExecs", deadline, call).await.map(|_done| ())
    }

    /// Columns, then rows.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn resize_terminal(
        &self,
        process: &ProcessRef,
        (columns, rows): (u32, u32),
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let ProcessRef {
            container_id,
            exec_id,
        } = process.clone();
        let request = wire::ResizeTerminalRequest {
            container_id,
            exec_id,
            columns,
            rows,
            ..Default::default()
        };
        let call = self.client.resize_terminal(context_of(deadline), &request);
        within("ResizeTerminal", deadline, call)
            .await
            .map(|_done| ())
    }

    /// Idempotent.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn remove_container(
        &self,
        container_id: &str,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let container_id = container_id.to_owned();
        let request = wire::RemoveContainerRequest {
            container_id,
            ..Default::default()
        };
        let call = self.client.remove_container(context_of(deadline), &request);
        within("RemoveContainer", deadline, call)
            .await
            .map(|_done| ())
    }

    /// What the container uses now.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn container_usage(
        &self,
        container_id: &str,
        deadline: Duration,
    ) -> Result<Usage, AgentError> {
        let container_id = container_id.to_owned();
        let request = wire::ContainerUsageRequest {
            container_id,
            ..Default::default()
        };
        let call = self.client.container_usage(context_of(deadline), &request);
        within("ContainerUsage", deadline, call)
            .await
            .map(Usage::from)
    }

    /// What the guest and all its containers use now.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn pod_usage(&self, deadline: Duration) -> Result<PodUsage, AgentError> {
        let request = wire::PodUsageRequest::default();
        let call = self.client.pod_usage(context_of(deadline), &request);
        within("PodUsage", deadline, call).await.map(PodUsage::from)
    }

    /// Changes the limits that the OCI `linux.resources` (JSON, at most 1 MiB) set: all of them or none.
    ///
    /// # Errors
    /// As agent.proto says; the message names the limit that could not be changed.
    pub async fn update_container(
        &self,
        container_id: &str,
        oci_resources: Vec<u8>,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = wire::UpdateContainerRequest {
            container_id: container_id.to_owned(),
            oci_resources,
            ..Default::default()
        };
        let call = self.client.update_container(context_of(deadline), &request);
        within("UpdateContainer", deadline, call)
            .await
            .map(|_done| ())
    }

    /// The agent's events after that number. A caller that lost the stream subscribes again with the last number it has handled.
    ///
    /// # Errors
    /// When the agent is gone.
    pub async fn events(&self, after: u64) -> Result<EventStream, AgentError> {
        let request = wire::EventsRequest {
            after,
            ..Default::default()
        };
        let receiver = self
            .client
            .events(Context::default(), &request)
            .await
            .map_err(|error| AgentError::from_rpc("Events", error))?;
        Ok(EventStream::start(receiver))
    }

    /// Kills all containers and powers the guest off. An agent that is gone before its answer has done what was asked.
    ///
    /// # Errors
    /// When it did not answer in time, or could not kill.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), AgentError> {
        let request = wire::ShutdownRequest::default();
        let call = self.client.shutdown(context_of(deadline), &request);
        match within("Shutdown", deadline, call).await {
            Ok(_) | Err(AgentError::Lost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Also tells the guest when nobody will wait any more.
pub(crate) fn context_of(deadline: Duration) -> Context {
    context::with_timeout(i64::try_from(deadline.as_nanos()).unwrap_or(i64::MAX))
}

pub(crate) async fn within<Answer>(
    call: &'static str,
    deadline: Duration,
    answer: impl Future<Output = ttrpc::Result<Answer>>,
) -> Result<Answer, AgentError> {
    match timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| AgentError::from_rpc(call, error)),
        Err(_elapsed) => Err(AgentError::Deadline { call }),
    }
}

/// For the places where only a reason is known.
pub(crate) fn lost(call: &'static str) -> impl Fn(io::Error) -> AgentError {
    move |error| AgentError::lost(call, &error)
}
