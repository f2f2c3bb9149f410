//! RunPodSandbox: network, VM, pod, in this order; or network, agent on the node, pod. After an error, or when the client went away, nothing is left.

use std::{fs::File, net::IpAddr, path::Path, sync::Arc};

use cri::v1::{PodSandboxConfig, RunPodSandboxRequest, RunPodSandboxResponse};
use model::{HugePages, PodId};
use pod::{Booted, GuestPlan, HomePlan, HostPlan, Identity, Lifetime, Pod, PodPlan};
use rustix::system::uname;
use tonic::Status;

use super::remove_pod_sandbox::remove;
use crate::{
    apparmor, failure, huge_pages, ids,
    network::{self, Attachment},
    node::Node,
    note::{Sandbox, SandboxName},
    pod_files,
    pods::{Known, SandboxReservation},
    settings::{Handler, HandlerKind},
    translate::{self, OwnNamespaces, PodKind},
    vfio, work,
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
    let handler = handler_kind(node, &runtime_handler)?;
    let host_pods = node.settings.host_pods.enabled;
    let kind = translate::pod_kind(config.linux.as_ref(), handler, host_pods)?;
    translate::check_users_of(kind, config.linux.as_ref())?;
    let huge_pages = huge_pages::of_sandbox(node, &config, kind).await?;
    let reserved = node.pods.reserve(SandboxName::of(&metadata));
    let reserved = reserved.map_err(|taken| Status::already_exists(taken.to_string()))?;
    let asked = Asked {
        config,
        handler: runtime_handler,
        kind,
        huge_pages,
    };
    let start = start(Arc::clone(node), asked, reserved);
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

/// A request that is good, and what was decided for it.
struct Asked {
    config: PodSandboxConfig,
    handler: String,
    kind: PodKind,
    huge_pages: Vec<HugePages>,
}

fn handler_kind(node: &Node, handler: &str) -> Result<HandlerKind, Status> {
    let known = &node.settings.runtime_handlers;
    if handler.is_empty() {
        return Ok(HandlerKind::Vm);
    }
    known.get(handler).map(Handler::kind).ok_or_else(|| {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        Status::invalid_argument(format!(
            "there is no runtime handler {handler:?}; there are: {} (cri.runtime_handlers in the configuration)",
            names.join(", ")
        ))
    })
}

async fn start(
    node: Arc<Node>,
    asked: Asked,
    reserved: SandboxReservation,
) -> Result<Arc<Known>, Status> {
    let id: PodId = ids::fresh()?;
    tracing::Span::current().record("pod", id.as_str());
    let made = match asked.kind {
        PodKind::Vm => boot(&node, &id, asked).await,
        PodKind::Host => begin_on_node(&node, &id, asked).await,
    };
    let (pod, sandbox) = match made {
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
async fn boot(node: &Node, id: &PodId, asked: Asked) -> Result<(Pod, Sandbox), Status> {
    let guest = guest_plan(node, &asked).await?;
    let request = network::request(id, &asked.config, Some(guest.size.processors))?;
    let plan = plan(node, id, &asked.config, HomePlan::Guest(Box::new(guest)))?;
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
    let hostname = hostname(id, &asked.config);
    let Attachment {
        ips, nics, network, ..
    } = attachment;
    let identity = identity(asked, hostname, ips).await;
    let identity = identity.map(|(identity, sandbox)| {
        let identity = Identity {
            nics,
            network: Some(network),
            ..identity
        };
        (identity, sandbox)
    });
    become_pod(booted, identity).await
}

/// The CNI plugins come first: the agent begins in the namespace that they have filled.
async fn begin_on_node(node: &Node, id: &PodId, asked: Asked) -> Result<(Pod, Sandbox), Status> {
    let own = OwnNamespaces::of(asked.config.linux.as_ref());
    let attachment = if own.network {
        let request = network::request(id, &asked.config, None)?;
        Some(node.network.attach(request).await?)
    } else {
        None
    };
    let settings = &node.settings.host_pods;
    let host = HostPlan {
        agent: settings.agent.clone(),
        layers_dir: settings.layers_dir.clone(),
        own_network: attachment
            .as_ref()
            .map(|attached| attached.namespace.clone()),
        own_ipc: own.ipc,
        own_host_name: own.network,
    };
    let plan = plan(node, id, &asked.config, HomePlan::Host(host))?;
    let booted = Booted::launch(plan).await;
    let booted = booted.map_err(|error| failure::pod(&error))?;
    let hostname = if own.network {
        hostname(id, &asked.config)
    } else {
        uname().nodename().to_string_lossy().into_owned()
    };
    let ips = attachment.map(|attached| attached.ips).unwrap_or_default();
    become_pod(booted, identity(asked, hostname, ips).await).await
}

async fn become_pod(
    booted: Booted,
    identity: Result<(Identity, Sandbox), Status>,
) -> Result<(Pod, Sandbox), Status> {
    match identity {
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

/// What makes it this pod, but for a guest's network, and what is kept of it.
async fn identity(
    asked: Asked,
    hostname: String,
    ips: Vec<IpAddr>,
) -> Result<(Identity, Sandbox), Status> {
    let texts = pod_files::texts(&asked.config, &hostname, &ips);
    let texts = work::blocking(move || texts.read()).await??;
    let sandbox = Sandbox {
        config: asked.config,
        handler: asked.handler,
        ips,
        kind: asked.kind,
        huge_pages: asked.huge_pages,
    };
    let note = sandbox
        .to_note()
        .map_err(|error| Status::internal(model::chain(&error)))?;
    let linux = sandbox.config.linux.as_ref();
    let identity = Identity {
        note,
        hostname,
        sysctls: linux.map(|linux| linux.sysctls.clone()).unwrap_or_default(),
        nics: Vec::new(),
        network: None,
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

fn plan(
    node: &Node,
    id: &PodId,
    config: &PodSandboxConfig,
    home: HomePlan,
) -> Result<PodPlan, Status> {
    let settings = &node.settings;
    let cgroup = translate::cgroup(config.linux.as_ref(), &settings.cgroup)?;
    Ok(PodPlan {
        id: id.clone(),
        pods_dir: settings.pods_dir.clone(),
        lifetime: Lifetime::UntilRemoved {
            records_dir: settings.records_dir.clone(),
        },
        cgroup: Some(cgroup),
        home,
        deadlines: pod::Deadlines::scaled(settings.deadline_scale),
    })
}

async fn guest_plan(node: &Node, asked: &Asked) -> Result<GuestPlan, Status> {
    let settings = &node.settings;
    let parts = settings.parts.clone();
    let layer_mib = settings.memory_layer_mib();
    let guest = settings.guest(&asked.handler).clone();
    let linux = asked.config.linux.as_ref();
    let size = translate::vm_size(linux, guest.size, layer_mib, &asked.huge_pages);
    let kernel_arguments = guest.kernel_arguments.clone();
    let (kernel, guest_image, apparmor) = work::blocking({
        move || {
            let kernel = open("the guest's kernel", &guest.kernel)?;
            let image = open("the guest's image", &guest.image)?;
            Ok::<_, Status>((kernel, image, apparmor::is_on()))
        }
    })
    .await??;
    let functions = vfio::functions(node, &asked.config, size).await?;
    Ok(GuestPlan {
        functions,
        later_functions: settings.vfio.later(),
        monitor: parts.monitor,
        share_server: parts.share_server,
        scratch: settings.scratch.clone(),
        monitor_identity: parts.monitor_identity,
        kernel,
        guest_image,
        size,
        huge_pages: asked.huge_pages.clone(),
        console_log: parts.console_log,
        apparmor,
        kernel_arguments,
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
