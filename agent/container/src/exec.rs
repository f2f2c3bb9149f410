//! In the launcher: one more process in a container that runs.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::Path,
};

use oci_spec::runtime::Process;

use crate::{
    cgroup::Cgroup,
    create::{builder, console_socket, receive_terminal, write_json},
    executor::LastExecutor,
    failure::Failure,
    folder::Folder,
    message::Order,
    oom_score,
    spec::{self, LastSteps},
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
    let (process, last) = spec::prepare_process(
        process,
        (container.seccomp, container.user),
        order.terminal.is_some(),
    );
    let process_file = folder.of_this_launch("process.json");
    write_json(&process_file, &process)?;
    let cgroup = Cgroup::at(&order.cgroup).of_exec(exec_id);
    let door = cgroup
        .create_and_open()
        .map_err(|error| Failure::internal("make the exec's cgroup", &error))?;
    let started = run(order, &folder, (&process_file, last, door), streams);
    // It has been read, and a leftover goes with the container's folder.
    drop(fs::remove_file(&process_file));
    if started.is_err() {
        // What cannot be unmade here goes with the container.
        drop(cgroup.kill().and_then(|()| cgroup.remove()));
    }
    started
}

fn run(
    order: &Order,
    folder: &Folder,
    (process_file, last, door): (&Path, LastSteps, File),
    streams: Vec<OwnedFd>,
) -> Result<(i32, Option<OwnedFd>), Failure> {
    let (executor, report) = LastExecutor::new(last, order.terminal)?;
    let executor = executor.through(door);
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
