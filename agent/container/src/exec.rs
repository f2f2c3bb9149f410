//! In the launcher: one more process in a container that runs.

use std::{fs, os::fd::OwnedFd, path::Path};

use oci_spec::runtime::{Process, User};

use crate::{
    account,
    cgroup::Cgroup,
    create::{builder, console_socket, receive_terminal, write_json},
    executor::{LastExecutor, Report},
    failure::Failure,
    folder::Folder,
    identity::Newcomer,
    message::Order,
    oom_score,
    spec::{self, LastSteps, OfContainer},
    streams::own_pipes,
    user_namespace::UserNamespace,
};

/// Starts the process and returns when its command has been executed.
pub(crate) fn exec(
    order: &Order,
    (mut process, exec_id): (Process, &str),
    streams: Vec<OwnedFd>,
) -> Result<(i32, Option<OwnedFd>), Failure> {
    let folder = Folder::open(order.folder.clone());
    let container: LastSteps = fs::read(folder.last_steps())
        .map_err(serde_json::Error::io)
        .and_then(|json| serde_json::from_slice(&json))
        .map_err(|error| Failure::internal("read the container's specification", &error))?;
    container.user.apply(&mut process, &folder.root())?;
    oom_score::set(&mut process)?;
    let newcomer = match &container.user_namespace {
        Some(namespace) => Some(newcomer(&mut process, namespace, &folder)?),
        None => None,
    };
    let guest_uid = newcomer
        .as_ref()
        .map_or(process.user().uid(), Newcomer::guest_uid);
    own_pipes(&streams, guest_uid)?;
    let container = OfContainer {
        seccomp: container.seccomp,
        user: container.user,
        user_namespace: container.user_namespace,
    };
    let (process, last) = spec::prepare_process(process, container, order.terminal.is_some());
    let process_file = folder.of_this_launch("process.json");
    write_json(&process_file, &process)?;
    let cgroup = Cgroup::at(&order.cgroup).of_exec(exec_id);
    let door = cgroup
        .create_and_open()
        .map_err(|error| Failure::internal("make the exec's cgroup", &error))?;
    let (executor, report) = LastExecutor::new(last, order.terminal)?;
    let executor = executor.through(door).joining(newcomer);
    let started = run(order, &folder, (&process_file, executor, report), streams);
    // It has been read, and a leftover goes with the container's folder.
    drop(fs::remove_file(&process_file));
    if started.is_err() {
        // What cannot be unmade here goes with the container.
        drop(cgroup.kill().and_then(|()| cgroup.remove()));
    }
    started
}

/// For libcontainer the process is the guest's root; who it is to be in the user namespace, it becomes at the end. So its home is looked up here.
fn newcomer(
    process: &mut Process,
    namespace: &UserNamespace,
    folder: &Folder,
) -> Result<Newcomer, Failure> {
    let user = process.user().clone();
    process.set_user(User::default());
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        let home = account::home(&folder.root(), user.uid())?;
        env.extend(home.map(|home| format!("HOME={home}")));
    }
    process.set_env(Some(env));
    Newcomer::new(namespace, user)
}

fn run(
    order: &Order,
    folder: &Folder,
    (process_file, executor, report): (&Path, LastExecutor, Report),
    streams: Vec<OwnedFd>,
) -> Result<(i32, Option<OwnedFd>), Failure> {
    let console = console_socket(order, folder)?;
    let built = builder(order, folder, executor, streams, console.as_ref())?
        .as_tenant()
        .with_detach(true)
        .with_process(Some(process_file))
        .build();
    // The executor's report is exact; libcontainer's error covers the steps before it.
    report.wait()?;
    let pid = built.map_err(|error| Failure::internal("start the process", &error))?;
    Ok((pid.as_raw(), receive_terminal(console)?))
}
