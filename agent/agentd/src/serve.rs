//! The life of the agent after its start: one thread, the owner's task, the ttrpc server and the stdio listener, until the host
//! asks it to end.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

use agent::agent_ttrpc;
use container::cgroup::{Cgroup, CgroupError};
use rustix::process::set_child_subreaper;
use thiserror::Error;
use tokio::{
    runtime,
    sync::{Notify, Semaphore},
    time::timeout,
};
use ttrpc::r#async::{Server, transport::Listener as RpcListener};

use crate::{
    arguments::{Address, Setting},
    containers::start_owner,
    deadlines::{BLOCKING_THREAD_IDLE, BLOCKING_THREADS, GOODBYE_DEADLINE},
    host_mounts::HostMounts,
    machine,
    pod_files::{PodFileError, PodFiles},
    rpc::{Network, Service},
    scratch::{self, Scratch},
    stdio::listener::Listener as StdioListener,
    volumes::Volumes,
};

/// Why the agent can't serve.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    #[error("become the parent of orphaned processes")]
    Subreaper(#[source] io::Error),
    #[error("watch for ended processes")]
    Children(#[source] io::Error),
    #[error("listen for calls on {address:?}")]
    Rpc { address: Address, source: io::Error },
    #[error("listen for streams on {address:?}")]
    Stdio { address: Address, source: io::Error },
    #[error("keep {address:?} from other users")]
    Private { address: Address, source: io::Error },
    #[error("serve calls")]
    Server(#[source] ttrpc::Error),
    #[error(transparent)]
    Cgroup(CgroupError),
    #[error(transparent)]
    PodFiles(PodFileError),
    #[error("remove the pod's volumes")]
    Volumes(#[source] io::Error),
    #[error("unmount the pod's scratch disk")]
    Scratch(#[source] io::Error),
    #[error("power the guest off")]
    PowerOff(#[source] io::Error),
}

/// Serves until Shutdown. In a guest it does not return from that.
pub(crate) fn serve(setting: Setting, host_mounts: Option<HostMounts>) -> Result<(), ServeError> {
    // PID 1 gets all orphans anyway; on a host the processes of ended launchers must come here, too.
    set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|errno| ServeError::Subreaper(errno.into()))?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_THREAD_IDLE)
        .build()
        .map_err(ServeError::Runtime)?;
    let guest = setting.guest;
    let cgroup = Cgroup::at(&setting.cgroup);
    let files = PodFiles::below(&setting.state);
    let volumes = Volumes::below(&setting.state, host_mounts);
    let scratch = Scratch::below(&setting.state);
    runtime.block_on(run(Arc::new(setting), volumes.clone(), scratch.clone()))?;
    if guest {
        return Err(ServeError::PowerOff(machine::power_off()));
    }
    files.remove().map_err(ServeError::PodFiles)?;
    volumes.remove_all().map_err(ServeError::Volumes)?;
    scratch::unmount(&scratch).map_err(ServeError::Scratch)?;
    cgroup.remove().map_err(ServeError::Cgroup)
}

async fn run(setting: Arc<Setting>, volumes: Volumes, scratch: Scratch) -> Result<(), ServeError> {
    let owner = start_owner(Arc::clone(&setting), volumes.clone(), scratch.clone())
        .map_err(ServeError::Children)?;
    let stdio = StdioListener::bind(&setting.stdio).map_err(|source| ServeError::Stdio {
        address: setting.stdio.clone(),
        source,
    })?;
    let rpc = rpc_listener(&setting.rpc).map_err(|source| ServeError::Rpc {
        address: setting.rpc.clone(),
        source,
    })?;
    tokio::spawn(stdio.serve(owner.clone(), volumes.clone()));
    let shutdown = Arc::new(Notify::new());
    let service = Service {
        network: Network::new(&setting),
        update_turn: Arc::new(Semaphore::new(1)),
        setting,
        volumes,
        scratch,
        owner,
        ready_at_us: machine::since_boot_us(),
        shutdown: Arc::clone(&shutdown),
    };
    for address in [&service.setting.rpc, &service.setting.stdio] {
        keep_private(address).map_err(|source| ServeError::Private {
            address: address.clone(),
            source,
        })?;
    }
    let mut server = Server::new()
        .add_listener(rpc)
        .register_service(agent_ttrpc::create_agent(Arc::new(service)));
    server.start().await.map_err(ServeError::Server)?;
    shutdown.notified().await;
    // Lets the answer out. Other calls, such as an event stream, would wait for ever; their host knows that it shuts the guest down.
    drop(timeout(GOODBYE_DEADLINE, server.disconnect()).await);
    Ok(())
}

fn rpc_listener(address: &Address) -> io::Result<RpcListener> {
    match address {
        Address::Vsock { port } => RpcListener::bind(format!("vsock://-1:{port}")),
        Address::Unix { path } => RpcListener::bind(format!("unix://{}", path.display())),
    }
}

/// Whoever can connect commands the pod's processes.
fn keep_private(address: &Address) -> io::Result<()> {
    match address {
        Address::Vsock { .. } => Ok(()),
        Address::Unix { path } => fs::set_permissions(path, Permissions::from_mode(0o600)),
    }
}
