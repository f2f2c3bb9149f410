//! RunPodSandbox: network, VM, pod, in this order; after an error, or when the client went away, nothing is left.

use std::{fs::File, path::Path, sync::Arc};

use cri::v1::{PodSandboxConfig, RunPodSandboxRequest, RunPodSandboxResponse};
use model::PodId;
use pod::{Booted, Identity, Lifetime, Pod, PodPlan};
use tonic::Status;

use super::remove_pod_sandbox::remove;
use crate::{
    failure, ids,
    network::{self, Attachment},
    node::Node,
    note::{Sandbox, SandboxName},
    pod_files,
    pods::{Known, SandboxReservation},
    translate, work,
};

pub(crate) async fn run_pod_sandbox(
    node: &Arc<Node>,
    request: RunPodSandboxRequest,
) -> Result<RunPodSandboxResponse, Status> {
    let RunPodSandboxRequest {
        config,
        runtime_handler,
    } = request;
    let config = config.ok_or_else(|| Status::invalid_argument("there is no sandbox config"))?;
    let metadata = translate::check_sandbox(&config)?;
    check_handler(node, &runtime_handler)?;
    let reserved = node.pods.reserve(SandboxName::of(&metadata));
    let reserved = reserved.map_err(|taken| Status::already_exists(taken.to_string()))?;
    let start = start(Arc::clone(node), config, runtime_handler, reserved);
    let undo_node = Arc::clone(node);
    let known = work::finish_or_undo(start, |known: Arc<Known>| async move {
        if let Err(error) = remove(&undo_node, &known).await {
            tracing::error!(%error, "a pod that nobody waited for stays");
        }
    })
    .await?;
    Ok(RunPodSandboxResponse {
        pod_sandbox_id: known.pod.id().to_string(),
    })
}

fn check_handler(node: &Node, handler: &str) -> Result<(), Status> {
    let known = &node.settings.runtime_handlers;
    if handler.is_empty() || known.iter().any(|known| known == handler) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "there is no runtime handler {handler:?}; there are: {} (cri.runtime_handlers in the configuration)",
        known.join(", ")
    )))
}

async fn start(
    node: Arc<Node>,
    config: PodSandboxConfig,
    handler: String,
    reserved: SandboxReservation,
) -> Result<Arc<Known>, Status> {
    let id: PodId = ids::fresh()?;
    tracing::Span::current().record("pod", id.as_str());
    let (pod, sandbox) = match boot(&node, &id, config, handler).await {
        Ok(made) => made,
        Err(status) => {
            if let Err(error) = node.network.detach(&id).await {
                tracing::error!(%error, "the network of a pod that did not start stays");
            }
            return Err(status);
        }
    };
    tracing::info!(sandbox = %sandbox.name(), "the pod runs");
    node.figures.started(&pod.status().stages);
    let known = Arc::new(Known { pod, sandbox });
    reserved.keep(Arc::clone(&known));
    node.follow(Arc::clone(&known), true);
    Ok(known)
}

/// The VM boots while the CNI plugins run; then it becomes the pod.
async fn boot(
    node: &Node,
    id: &PodId,
    config: PodSandboxConfig,
    handler: String,
) -> Result<(Pod, Sandbox), Status> {
    let plan = plan(node, id.clone(), &config).await?;
    let request = network::request(id, &config, plan.size.processors)?;
    let attach = node.network.attach(request);
    let (booted, attachment) = tokio::join!(Booted::launch(plan), attach);
    let (booted, attachment) = match (booted, attachment) {
        (Ok(booted), Ok(attachment)) => (booted, attachment),
        (Ok(booted), Err(status)) => {
            booted.abandon().await;
            return Err(status);
        }
        (Err(error), _) => return Err(failure::pod(&error)),
    };
    match identity(id, config, handler, attachment).await {
        Ok((identity, sandbox)) => {
            let pod = booted.become_pod(identity).await;
            Ok((pod.map_err(|error| failure::pod(&error))?, sandbox))
        }
        Err(status) => {
            booted.abandon().await;
            Err(status)
        }
    }
}

/// What makes the VM this pod, and what is kept of it.
async fn identity(
    id: &PodId,
    config: PodSandboxConfig,
    handler: String,
    attachment: Attachment,
) -> Result<(Identity, Sandbox), Status> {
    let hostname = hostname(id, &config);
    let texts = pod_files::texts(&config, &hostname, &attachment.ips);
    let texts = work::blocking(move || texts.read()).await??;
    let sandbox = Sandbox {
        config,
        handler,
        ips: attachment.ips,
    };
    let note = sandbox
        .to_note()
        .map_err(|error| Status::internal(model::chain(&error)))?;
    let linux = sandbox.config.linux.as_ref();
    let identity = Identity {
        note,
        hostname,
        sysctls: linux.map(|linux| linux.sysctls.clone()).unwrap_or_default(),
        nics: attachment.nics,
        network: Some(attachment.network),
        share_pid_namespace: translate::shares_pid_namespace(linux),
        user_namespace: translate::user_namespace(linux)?,
        resolv_conf: texts.resolv_conf,
        hosts: texts.hosts,
    };
    Ok((identity, sandbox))
}

fn hostname(id: &PodId, config: &PodSandboxConfig) -> String {
    if config.hostname.is_empty() {
        id.to_string()
    } else {
        config.hostname.clone()
    }
}

async fn plan(node: &Node, id: PodId, config: &PodSandboxConfig) -> Result<PodPlan, Status> {
    let settings = &node.settings;
    let parts = settings.parts.clone();
    let cgroup = translate::cgroup(config.linux.as_ref(), &settings.cgroup)?;
    let layer_mib = settings.memory_layer_mib();
    let size = translate::vm_size(config.linux.as_ref(), settings.vm, layer_mib);
    let (kernel, guest_image) = work::blocking({
        let parts = parts.clone();
        move || {
            let kernel = open("the guest's kernel", &parts.kernel)?;
            Ok::<_, Status>((kernel, open("the guest's image", &parts.guest_image)?))
        }
    })
    .await??;
    Ok(PodPlan {
        id,
        pods_dir: settings.pods_dir.clone(),
        lifetime: Lifetime::UntilRemoved {
            records_dir: settings.records_dir.clone(),
        },
        cgroup: Some(cgroup),
        monitor: parts.monitor,
        share_server: parts.share_server,
        scratch: settings.scratch.clone(),
        monitor_identity: parts.monitor_identity,
        kernel,
        guest_image,
        size,
        console_log: parts.console_log,
        kernel_arguments: parts.kernel_arguments,
        deadlines: pod::Deadlines::scaled(settings.deadline_scale),
    })
}

fn open(what: &str, path: &Path) -> Result<File, Status> {
    File::open(path).map_err(|error| {
        let path = path.display();
        Status::failed_precondition(format!(
            "open {what} {path}: {error}; see `cofferdam check`"
        ))
    })
}
