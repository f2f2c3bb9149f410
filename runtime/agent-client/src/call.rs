//! One method per call of the contract. Main type: [`Agent`], cheap to clone. Deadlines come from the caller.

use std::{fmt, time::Duration};

use agent::{
    PROTOCOL_VERSION,
    agent::{
        AddDeviceRequest, AddDeviceResponse, ContainerUsageRequest, ContainerUsageResponse,
        EventsRequest, ExecProcessRequest, ExecProcessResponse, HelloRequest, HelloResponse,
        RemoveContainerRequest, RemoveDeviceRequest, ResizeTerminalRequest, ShutdownRequest,
        SignalProcessRequest, StartContainerRequest, StartContainerResponse, StartPodRequest,
        StartPodResponse,
    },
    agent_ttrpc::AgentClient,
};
use tokio::time::{Instant, sleep, timeout_at};
use ttrpc::{asynchronous::transport::Socket, context};

use crate::{
    connect::{Address, ConnectError},
    error::AgentError,
    events::Events,
    limits,
    stdio::{OutputStream, StdinStream, StdioError, Stream, StreamId},
};

/// A connection to one agent.
#[derive(Clone)]
pub struct Agent {
    client: AgentClient,
    address: Address,
}

impl fmt::Debug for Agent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Agent")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A call: its name for errors, the request with its deadline.
macro_rules! call {
    ($name:ident, $method:ident, $request:ty, $response:ty, $what:literal) => {
        #[doc = $what]
        ///
        /// # Errors
        /// As `agent.proto` says for this call, and when the agent is late or lost.
        pub async fn $method(
            &self,
            request: &$request,
            deadline: Duration,
        ) -> Result<$response, AgentError> {
            let answer = self
                .client
                .$method(context::with_duration(deadline), request)
                .await;
            answer.map_err(|error| AgentError::from_ttrpc(stringify!($name), deadline, error))
        }
    };
}

impl Agent {
    /// Connects to an agent whose guest may still be booting, and says Hello.
    ///
    /// # Errors
    /// When none answers before the deadline, or one of another protocol version does.
    pub async fn connect(
        address: Address,
        deadline: Duration,
    ) -> Result<(Self, HelloResponse), AgentError> {
        let until = Instant::now() + deadline;
        let mut pause = limits::FIRST_PAUSE;
        let mut last = None;
        loop {
            match timeout_at(until, Self::attempt(&address, deadline)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(Attempt::Final(error))) => return Err(error),
                Ok(Err(Attempt::Again(error))) => last = error.map(Box::new),
                Err(_late) => {
                    return Err(AgentError::Silent {
                        waited: deadline,
                        last,
                    });
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(limits::LONGEST_PAUSE);
        }
    }

    async fn attempt(
        address: &Address,
        deadline: Duration,
    ) -> Result<(Self, HelloResponse), Attempt> {
        let stream = address
            .rpc()
            .await
            .map_err(|error| Attempt::Again(Some(error)))?;
        let client = AgentClient::new(ttrpc::asynchronous::Client::new(Socket::new(stream)));
        let agent = Self {
            client,
            address: address.clone(),
        };
        let request = HelloRequest {
            protocol_version: PROTOCOL_VERSION,
            ..Default::default()
        };
        match agent.hello(&request, deadline).await {
            Ok(hello) if hello.protocol_version == PROTOCOL_VERSION => Ok((agent, hello)),
            Ok(hello) => Err(Attempt::Final(AgentError::Version {
                ours: PROTOCOL_VERSION,
                theirs: hello.protocol_version,
            })),
            Err(AgentError::Lost { .. }) => Err(Attempt::Again(None)),
            Err(error) => Err(Attempt::Final(error)),
        }
    }

    call!(
        Hello,
        hello,
        HelloRequest,
        HelloResponse,
        "The versions of both sides, and what the guest is."
    );
    call!(
        StartPod,
        start_pod,
        StartPodRequest,
        StartPodResponse,
        "Makes the guest into a pod."
    );
    call!(
        AddDevice,
        add_device,
        AddDeviceRequest,
        AddDeviceResponse,
        "Waits for a device on the bus."
    );
    call!(
        StartContainer,
        start_container,
        StartContainerRequest,
        StartContainerResponse,
        "Starts a container."
    );
    call!(
        ExecProcess,
        exec_process,
        ExecProcessRequest,
        ExecProcessResponse,
        "Starts one more process."
    );
    call!(
        ContainerUsage,
        container_usage,
        ContainerUsageRequest,
        ContainerUsageResponse,
        "What a container uses."
    );

    /// Lets go of a device, so that it can be taken off the bus.
    ///
    /// # Errors
    /// As `agent.proto` says for this call, and when the agent is late or lost.
    pub async fn remove_device(
        &self,
        pci_address: &str,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = RemoveDeviceRequest {
            pci_address: pci_address.to_owned(),
            ..Default::default()
        };
        let answer = self
            .client
            .remove_device(context::with_duration(deadline), &request)
            .await;
        answer
            .map(drop)
            .map_err(|error| AgentError::from_ttrpc("RemoveDevice", deadline, error))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// As `agent.proto` says for this call, and when the agent is late or lost.
    pub async fn signal_process(
        &self,
        request: &SignalProcessRequest,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let answer = self
            .client
            .signal_process(context::with_duration(deadline), request)
            .await;
        answer
            .map(drop)
            .map_err(|error| AgentError::from_ttrpc("SignalProcess", deadline, error))
    }

    /// Sets the size of a terminal's window.
    ///
    /// # Errors
    /// As `agent.proto` says for this call, and when the agent is late or lost.
    pub async fn resize_terminal(
        &self,
        request: &ResizeTerminalRequest,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let answer = self
            .client
            .resize_terminal(context::with_duration(deadline), request)
            .await;
        answer
            .map(drop)
            .map_err(|error| AgentError::from_ttrpc("ResizeTerminal", deadline, error))
    }

    /// Removes a container and what is left of it.
    ///
    /// # Errors
    /// As `agent.proto` says for this call, and when the agent is late or lost.
    pub async fn remove_container(
        &self,
        container_id: &str,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = RemoveContainerRequest {
            container_id: container_id.to_owned(),
            ..Default::default()
        };
        let answer = self
            .client
            .remove_container(context::with_duration(deadline), &request)
            .await;
        answer
            .map(drop)
            .map_err(|error| AgentError::from_ttrpc("RemoveContainer", deadline, error))
    }

    /// Powers the guest off. The answer may be lost with it.
    ///
    /// # Errors
    /// As `agent.proto` says for this call, and when the agent is late or lost.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), AgentError> {
        let request = ShutdownRequest::new();
        let answer = self
            .client
            .shutdown(context::with_duration(deadline), &request)
            .await;
        answer
            .map(drop)
            .map_err(|error| AgentError::from_ttrpc("Shutdown", deadline, error))
    }

    /// The event stream, from the first event after `after`.
    ///
    /// # Errors
    /// When the agent is lost.
    pub async fn events(&self, after: u64) -> Result<Events, AgentError> {
        let request = EventsRequest {
            after,
            ..Default::default()
        };
        // No deadline: the stream lives as long as the connection.
        let stream = self
            .client
            .events(context::Context::default(), &request)
            .await;
        let stream =
            stream.map_err(|error| AgentError::from_ttrpc("Events", Duration::ZERO, error))?;
        Ok(Events::read(stream))
    }

    /// Opens standard output or error, from `offset` on.
    ///
    /// # Errors
    /// When the process has no such stream, or the agent is lost.
    pub async fn open_output(
        &self,
        id: &StreamId,
        stream: Stream,
        offset: u64,
    ) -> Result<OutputStream, StdioError> {
        OutputStream::open(&self.address, id, stream, offset).await
    }

    /// Opens standard input.
    ///
    /// # Errors
    /// When the process has none, or the agent is lost.
    pub async fn open_stdin(&self, id: &StreamId, offset: u64) -> Result<StdinStream, StdioError> {
        StdinStream::open(&self.address, id, offset).await
    }
}

/// One attempt to reach a booting guest.
enum Attempt {
    /// Not yet.
    Again(Option<ConnectError>),
    /// Never.
    Final(AgentError),
}
