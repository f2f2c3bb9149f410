//! RunPodSandbox: network, VM, pod, in this order; after an error, or when the client went away, nothing is left.

use std::{fs::File, path::Path, sync::Arc};

use cri::v1::{PodSandboxConfig, RunPodSandboxRequest, RunPodSandboxResponse};
use model::PodId;
use pod::{Booted, Identity, Lifetime, Pod, PodPlan};
use tonic::Status;

use super::remove_pod_sandbox::remove;
use crate::{
    failure, ids,
    node::Node,
    note::{Sandbox, SandboxName},
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
    let attachment = node.network.attach(&id, &config)?;
    let sandbox = Sandbox {
        config,
        handler,
        ips: attachment.ips,
    };
    let pod = match boot(&node, id.clone(), &sandbox).await {
        Ok(pod) => pod,
        Err(status) => {
            node.network.detach(&id);
            return Err(status);
        }
    };
    tracing::info!(sandbox = %sandbox.name(), "the pod runs");
    let known = Arc::new(Known { pod, sandbox });
    reserved.keep(Arc::clone(&known));
    node.follow(Arc::clone(&known), true);
    Ok(known)
}

async fn boot(node: &Node, id: PodId, sandbox: &Sandbox) -> Result<Pod, Status> {
    let identity = identity(&id, &sandbox.config);
    let plan = plan(node, id, sandbox).await?;
    let booted = Booted::launch(plan).await;
    let booted = booted.map_err(|error| failure::pod(&error))?;
    let pod = booted.become_pod(identity).await;
    pod.map_err(|error| failure::pod(&error))
}

fn identity(id: &PodId, config: &PodSandboxConfig) -> Identity {
    let hostname = if config.hostname.is_empty() {
        id.to_string()
    } else {
        config.hostname.clone()
    };
    let linux = config.linux.as_ref();
    Identity {
        hostname,
        sysctls: linux.map(|linux| linux.sysctls.clone()).unwrap_or_default(),
    }
}

async fn plan(node: &Node, id: PodId, sandbox: &Sandbox) -> Result<PodPlan, Status> {
    let settings = &node.settings;
    let parts = settings.parts.clone();
    let note = sandbox
        .to_note()
        .map_err(|error| Status::internal(failure::chain(&error)))?;
    let size = translate::vm_size(
        sandbox.config.linux.as_ref(),
        settings.vm,
        settings.container,
    );
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
        note,
        pods_dir: settings.pods_dir.clone(),
        lifetime: Lifetime::UntilRemoved {
            records_dir: settings.records_dir.clone(),
        },
        monitor: parts.monitor,
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
