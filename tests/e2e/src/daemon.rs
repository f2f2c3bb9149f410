//! `cofferdam serve` under test, and what kubelet would ask of it.
//!
//! Main type: [`Daemon`]. Dropped, it removes every sandbox that a failed test left: pods outlive their daemon.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cri::v1::image_service_client::ImageServiceClient;
use cri::v1::runtime_service_client::RuntimeServiceClient;
use cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, ImageSpec, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, ListContainersRequest, ListPodSandboxRequest, NamespaceMode,
    NamespaceOption, PodSandbox, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatus,
    PodSandboxStatusRequest, RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};
use tokio::runtime::Runtime;
use toml::Table;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use crate::case::{Case, Images};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::running::{Running, shown};
use crate::test_image;

pub(crate) type Client = RuntimeServiceClient<Channel>;
pub(crate) type ImageClient = ImageServiceClient<Channel>;

/// A daemon and a client of it.
pub(crate) struct Daemon<'a> {
    pub(crate) case: &'a Case,
    tokio: Runtime,
    running: Running,
    channel: Channel,
    images: Images,
    over: Table,
}

impl<'a> Daemon<'a> {
    /// Starts one with the images that tests share, and waits until it answers.
    pub(crate) fn start(case: &'a Case) -> Result<Self> {
        Self::start_with(case, Images::Shared, Table::new())
    }

    /// Starts one with these keys laid over its configuration.
    pub(crate) fn start_with(case: &'a Case, images: Images, over: Table) -> Result<Self> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a client")?;
        let mut running = Running::start(case.daemon_command(images, &over)?)?;
        let channel = connect(case, &tokio, &mut running)?;
        Ok(Self {
            case,
            tokio,
            running,
            channel,
            images,
            over,
        })
    }

    /// Kills it as `kill -9` does, and starts the next one.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.resume()
    }

    /// Kills it as `kill -9` does; its pods live on.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.running.signal(rustix::process::Signal::KILL)?;
        let deadline = Instant::now() + self.case.patience.stretch(deadlines::STEP);
        while !self.running.has_ended()? {
            ensure!(Instant::now() < deadline, "the killed daemon did not end");
            thread::park_timeout(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Starts the next one.
    pub(crate) fn resume(&mut self) -> Result<()> {
        let command = self.case.daemon_command(self.images, &self.over)?;
        self.running = Running::start(command)?;
        self.channel = connect(self.case, &self.tokio, &mut self.running)?;
        Ok(())
    }

    /// What it has logged until now, for errors.
    pub(crate) fn log(&self) -> String {
        shown(&self.running.stderr.so_far())
    }

    /// Calls it, and waits no longer than a step of a VM may take.
    pub(crate) fn call<T, Call>(&self, call: impl FnOnce(Client) -> Call) -> Result<T, Status>
    where
        Call: Future<Output = Result<Response<T>, Status>>,
    {
        self.answer(call(self.client()))
    }

    /// The same for its image service.
    pub(crate) fn image_call<T, Call>(
        &self,
        call: impl FnOnce(ImageClient) -> Call,
    ) -> Result<T, Status>
    where
        Call: Future<Output = Result<Response<T>, Status>>,
    {
        self.answer(call(self.image_client()))
    }

    /// Another client of it.
    pub(crate) fn client(&self) -> Client {
        RuntimeServiceClient::new(self.channel.clone())
            .max_decoding_message_size(cri::MAX_MESSAGE_BYTES)
    }

    fn image_client(&self) -> ImageClient {
        ImageServiceClient::new(self.channel.clone())
            .max_decoding_message_size(cri::MAX_MESSAGE_BYTES)
    }

    fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        let within = self.case.patience.stretch(deadlines::LONG_RUN);
        let answer = self
            .tokio
            .block_on(async { tokio::time::timeout(within, call).await });
        match answer {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_elapsed) => Err(Status::unknown(format!("no answer within {within:?}"))),
        }
    }

    /// Something that is more than one call.
    pub(crate) fn block_on<T>(&self, work: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        self.run_within(self.case.patience.stretch(deadlines::LONG_RUN), work)
    }

    /// The same with a deadline of its own.
    pub(crate) fn run_within<T>(
        &self,
        within: Duration,
        work: impl AsyncFnOnce(Client) -> Result<T>,
    ) -> Result<T> {
        let work = work(self.client());
        self.tokio
            .block_on(async { tokio::time::timeout(within, work).await })
            .with_context(|| format!("it took longer than {within:?}; log: {}", self.log()))?
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.case.folder().join("logs")
    }

    /// A sandbox's configuration, as kubelet makes it.
    pub(crate) fn sandbox_config(&self, name: &str) -> Result<PodSandboxConfig> {
        fs::create_dir_all(self.logs()).context("make the folder of the logs")?;
        Ok(PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-of-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.logs().to_string_lossy().into_owned(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        pid: NamespaceMode::Container.into(),
                        ..NamespaceOption::default()
                    }),
                    ..LinuxSandboxSecurityContext::default()
                }),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        })
    }

    pub(crate) fn run_sandbox(&self, name: &str) -> Result<String> {
        let answer = self.run_configured(self.sandbox_config(name)?, "");
        answer.with_context(|| format!("run sandbox {name}; log: {}", self.log()))
    }

    /// One of this configuration and runtime handler.
    pub(crate) fn run_configured(
        &self,
        config: PodSandboxConfig,
        handler: &str,
    ) -> Result<String, Status> {
        let request = RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: handler.to_owned(),
        };
        let answer = self.call(async |mut client| client.run_pod_sandbox(request).await);
        answer.map(|answer| answer.pod_sandbox_id)
    }

    pub(crate) fn sandboxes(&self) -> Result<Vec<PodSandbox>, Status> {
        let request = ListPodSandboxRequest::default();
        let answer = self.call(async |mut client| client.list_pod_sandbox(request).await);
        answer.map(|answer| answer.items)
    }

    pub(crate) fn sandbox_status(&self, id: &str) -> Result<PodSandboxStatus> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: false,
        };
        let answer = self.call(async |mut client| client.pod_sandbox_status(request).await);
        answer?.status.context("a sandbox's status")
    }

    pub(crate) fn stop_sandbox(&self, id: &str) -> Result<(), Status> {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let answer = self.call(async |mut client| client.stop_pod_sandbox(request).await);
        answer.map(|_empty| ())
    }

    pub(crate) fn remove_sandbox(&self, id: &str) -> Result<(), Status> {
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let answer = self.call(async |mut client| client.remove_pod_sandbox(request).await);
        answer.map(|_empty| ())
    }

    /// A container that runs this script.
    pub(crate) fn script(&self, name: &str, script: &str) -> ContainerConfig {
        ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            image: Some(ImageSpec {
                image: test_image::NAME.to_owned(),
                user_specified_image: test_image::NAME.to_owned(),
                ..ImageSpec::default()
            }),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            log_path: format!("{name}.log"),
            ..ContainerConfig::default()
        }
    }

    pub(crate) fn create(&self, sandbox: &str, config: ContainerConfig) -> Result<String, Status> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: None,
        };
        let answer = self.call(async |mut client| client.create_container(request).await);
        answer.map(|answer| answer.container_id)
    }

    pub(crate) fn start_container(&self, id: &str) -> Result<(), Status> {
        let request = StartContainerRequest {
            container_id: id.to_owned(),
        };
        let answer = self.call(async |mut client| client.start_container(request).await);
        answer.map(|_empty| ())
    }

    /// Creates and starts one.
    pub(crate) fn run(&self, sandbox: &str, name: &str, script: &str) -> Result<String> {
        let id = self.create(sandbox, self.script(name, script));
        let id = id.with_context(|| format!("create {name}; log: {}", self.log()))?;
        let started = self.start_container(&id);
        started.with_context(|| format!("start {name}; log: {}", self.log()))?;
        Ok(id)
    }

    pub(crate) fn stop(&self, id: &str, timeout: i64) -> Result<(), Status> {
        let request = StopContainerRequest {
            container_id: id.to_owned(),
            timeout,
        };
        let answer = self.call(async |mut client| client.stop_container(request).await);
        answer.map(|_empty| ())
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), Status> {
        let request = RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        let answer = self.call(async |mut client| client.remove_container(request).await);
        answer.map(|_empty| ())
    }

    pub(crate) fn containers(&self) -> Result<Vec<String>> {
        let request = ListContainersRequest::default();
        let answer = self.call(async |mut client| client.list_containers(request).await);
        let containers = answer?.containers.into_iter();
        Ok(containers.map(|container| container.id).collect())
    }

    pub(crate) fn status(&self, id: &str) -> Result<ContainerStatus> {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let answer = self.call(async |mut client| client.container_status(request).await);
        answer?.status.context("a container's status")
    }

    /// Waits until it has ended; how it is then.
    pub(crate) fn ended(&self, id: &str) -> Result<ContainerStatus> {
        let deadline = Instant::now() + self.case.patience.stretch(deadlines::LONG_RUN);
        loop {
            let status = self.status(id)?;
            if status.state() == ContainerState::ContainerExited {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "the container has not ended: {status:?}; log: {}",
                self.log()
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    pub(crate) fn exec(
        &self,
        id: &str,
        script: &str,
        timeout: i64,
    ) -> Result<ExecSyncResponse, Status> {
        let request = ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: ["sh", "-c", script].map(str::to_owned).into(),
            timeout,
        };
        self.call(async |mut client| client.exec_sync(request).await)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // A test that failed between two daemons left none.
        if self.running.has_ended().unwrap_or(true) && self.resume().is_err() {
            return;
        }
        for sandbox in self.sandboxes().unwrap_or_default() {
            // What stays is found by the look at what the test left.
            self.remove_sandbox(&sandbox.id).ok();
        }
        // The folder of network namespaces is a mount that outlives every daemon, as /run/netns does.
        Command::new("umount")
            .arg(self.case.folder().join("run/netns"))
            .output()
            .ok();
    }
}

fn connect(case: &Case, tokio: &Runtime, running: &mut Running) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", case.socket().display()))
        .context("name the socket")?;
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    loop {
        if let Ok(channel) = tokio.block_on(endpoint.connect()) {
            return Ok(channel);
        }
        let ended = running.has_ended()?;
        let log = shown(&running.stderr.so_far());
        ensure!(!ended, "the daemon ended at once; log: {log}");
        ensure!(
            Instant::now() < deadline,
            "the daemon does not answer; log: {log}"
        );
        thread::park_timeout(LOOK_AGAIN);
    }
}

/// The text that a log in the CRI format has of one stream, piece by piece as it was written.
pub(crate) fn log_text(path: &std::path::Path, stream: &str) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("read the log {}", path.display()))?;
    let mut text = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line
            .strip_suffix(b"\n")
            .context("a whole line at the log's end")?;
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let (time, of, tag, piece) = (fields.next(), fields.next(), fields.next(), fields.next());
        let shape = || format!("a line of CRI's format, not {}", shown(line));
        ensure!(time.is_some_and(|time| time.ends_with(b"Z")), "{}", shape());
        if of.with_context(shape)? != stream.as_bytes() {
            continue;
        }
        text.extend_from_slice(piece.with_context(shape)?);
        if tag == Some(b"F") {
            text.push(b'\n');
        }
    }
    Ok(text)
}

/// Checks that a call failed with this code and these words.
pub(crate) fn expect_failure<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: tonic::Code,
    words: &str,
) -> Result<()> {
    let status = match answer {
        Err(status) => status,
        Ok(answer) => anyhow::bail!("it should fail with {words:?}, and answered {answer:?}"),
    };
    ensure!(status.code() == code, "expected {code:?}, but {status}");
    let message = status.message();
    ensure!(message.contains(words), "expected {words:?} in {message:?}");
    Ok(())
}

/// All that the pieces of a stream hold, until its end. A piece without anything has no business there.
pub(crate) async fn all<Piece, Item>(
    stream: Response<Streaming<Piece>>,
    items: impl Fn(Piece) -> Vec<Item>,
) -> Result<Vec<Item>, Status> {
    let mut stream = stream.into_inner();
    let mut all = Vec::new();
    while let Some(piece) = stream.message().await? {
        let items = items(piece);
        if items.is_empty() {
            return Err(Status::internal("a message without any"));
        }
        all.extend(items);
    }
    Ok(all)
}
