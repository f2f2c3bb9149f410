//! In the launcher: one container, from its cgroup to its first process. What is made here is unmade here when a later step fails;
//! the folder and the mounts are the agent's.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use libcontainer::{
    container::{Container, builder::ContainerBuilder},
    syscall::syscall::SyscallType,
};
use oci_spec::runtime::{Process, Spec};
use serde::Serialize;

use crate::{
    account::SettledUser,
    annotation,
    cgroup::Cgroup,
    executor::{LastExecutor, Report},
    failure::{Failure, FailureKind},
    folder::Folder,
    guest_devices, inside,
    launcher::Started,
    message::Order,
    oom_score,
    spec::{self, LastSteps},
    streams::own_pipes,
    terminal::ConsoleSocket,
    user_namespace::UserNamespace,
};

/// Starts the container's first process and returns when it has been executed.
pub(crate) fn create(
    order: &Order,
    mut spec: Spec,
    (root, read_only, user_namespace): (PathBuf, bool, Option<UserNamespace>),
    streams: Vec<OwnedFd>,
) -> Result<Started, Failure> {
    let folder = Folder::open(order.folder.clone());
    let cgroup = Cgroup::at(&order.cgroup);
    let resources = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().clone());
    let user = settle(&mut spec, &root, user_namespace.as_ref())?;
    let identity = user.identity();
    own_pipes(&streams, guest_uid(&spec, user_namespace.as_ref())?)?;
    devices(&mut spec, user_namespace.is_some())?;
    let root = (root, read_only);
    let (spec, last) = spec::prepare(spec, root, (user, user_namespace), order)?;
    write_json(&folder.config(), &spec)?;
    write_json(&folder.last_steps(), &last)?;
    let limited = cgroup.create().and_then(|()| match &resources {
        Some(resources) => cgroup.limit(resources),
        None => Ok(()),
    });
    let started = limited
        .map_err(|error| Failure::internal("limit the container", &error))
        .and_then(|()| run(order, &folder, last, streams));
    if started.is_err() {
        // The first failure is the one to report; what cannot be unmade here is tried again by the agent.
        drop(cgroup.kill().and_then(|()| cgroup.remove()));
    }
    started.map(|(pid, terminal)| Started {
        pid,
        terminal,
        user: Some(identity),
    })
}

/// What of the process depends on the container's files, and on what the agent may do.
fn settle(
    spec: &mut Spec,
    root: &Path,
    user_namespace: Option<&UserNamespace>,
) -> Result<SettledUser, Failure> {
    let groups = annotation::groups(spec)?;
    let Some(process) = spec.process_mut() else {
        return Err(Failure::invalid("the specification has no process"));
    };
    let user = SettledUser::settle(process, root, groups)?;
    let owner = user_namespace.map(UserNamespace::root);
    inside::working_directory(root, process.cwd(), owner)?;
    oom_score::set(process)?;
    Ok(user)
}

/// Who the first process is in the guest.
fn guest_uid(spec: &Spec, user_namespace: Option<&UserNamespace>) -> Result<u32, Failure> {
    let user = spec.process().as_ref().map(Process::user);
    match (user, user_namespace) {
        (Some(user), Some(namespace)) => namespace.mappings.user(user),
        (Some(user), None) => Ok(user.uid()),
        (None, _) => Ok(0),
    }
}

/// In a user namespace no node can be made, so the guest's are mounted.
fn devices(spec: &mut Spec, in_user_namespace: bool) -> Result<(), Failure> {
    let folder = Path::new("/dev");
    match (annotation::every_device(spec)?, in_user_namespace) {
        (true, true) => Err(Failure::invalid(
            "a container in a user namespace can't have all of the guest's devices: its root is not the guest's",
        )),
        (true, false) => guest_devices::add(spec, folder),
        (false, true) => guest_devices::bind(spec, folder),
        (false, false) => Ok(()),
    }
}

fn run(
    order: &Order,
    folder: &Folder,
    last: LastSteps,
    streams: Vec<OwnedFd>,
) -> Result<(i32, Option<OwnedFd>), Failure> {
    let (executor, report) = LastExecutor::new(last, order.terminal)?;
    let console = console_socket(order, folder)?;
    let builder = builder(order, folder, executor, streams, console.as_ref())?;
    let mut container = builder
        .as_init(folder.path())
        .with_systemd(false)
        .with_detach(true)
        .build()
        .map_err(|error| Failure::internal("make the container", &error))?;
    let terminal = receive_terminal(console)?;
    let pid = container
        .pid()
        .map(|pid| pid.as_raw())
        .ok_or_else(|| Failure {
            kind: FailureKind::Internal,
            message: "the container's process ended before its command was executed".into(),
        })?;
    start(&mut container, report)?;
    Ok((pid, terminal))
}

fn start(container: &mut Container, report: Report) -> Result<(), Failure> {
    let started = container.start();
    // When the process has died in between, the report knows more than a refused connection does.
    report.wait()?;
    started.map_err(|error| Failure::internal("start the container", &error))
}

/// What a create and an exec have in common. `streams` is empty when the process gets a terminal.
pub(crate) fn builder(
    order: &Order,
    folder: &Folder,
    executor: LastExecutor,
    streams: Vec<OwnedFd>,
    console: Option<&ConsoleSocket>,
) -> Result<ContainerBuilder, Failure> {
    let mut builder = ContainerBuilder::new(order.container_id.clone(), SyscallType::Linux)
        .with_root_path(folder.libcontainer())
        .map_err(|error| Failure::internal("open libcontainer's state", &error))?
        .with_executor(executor)
        .with_console_socket(console.map(ConsoleSocket::path));
    if let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(streams) {
        builder = builder
            .with_stdin(stdin)
            .with_stdout(stdout)
            .with_stderr(stderr);
    }
    Ok(builder)
}

pub(crate) fn console_socket(
    order: &Order,
    folder: &Folder,
) -> Result<Option<ConsoleSocket>, Failure> {
    order
        .terminal
        .map(|_| ConsoleSocket::bind(folder.of_this_launch("console.sock")))
        .transpose()
        .map_err(|error| Failure::internal("make the socket for the terminal", &error))
}

pub(crate) fn receive_terminal(console: Option<ConsoleSocket>) -> Result<Option<OwnedFd>, Failure> {
    console
        .map(|console| console.receive())
        .transpose()
        .map_err(|error| Failure::internal("receive the terminal from the container", &error))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Failure::internal("write the specification", &error))?;
    fs::write(path, json).map_err(|error| Failure::internal("write the specification", &error))
}
