//! In the launcher: one more process in a container that runs.

use std::{fs, os::fd::OwnedFd};

use oci_spec::runtime::Process;

use crate::{
    create::{builder, console_socket, receive_terminal, write_json},
    executor::LastExecutor,
    failure::Failure,
    folder::Folder,
    message::Order,
    spec::{self, LastSteps},
};

/// Starts the process and returns when its command has been executed.
pub(crate) fn exec(
    order: &Order,
    process: Process,
    streams: Vec<OwnedFd>,
) -> Result<(i32, Option<OwnedFd>), Failure> {
    let folder = Folder::open(order.folder.clone());
    let container: LastSteps = fs::read(folder.last_steps())
        .map_err(serde_json::Error::io)
        .and_then(|json| serde_json::from_slice(&json))
        .map_err(|error| Failure::internal("read the container's specification", &error))?;
    let (process, last) =
        spec::prepare_process(process, container.seccomp, order.terminal.is_some());
    let process_file = folder.of_this_launch("process.json");
    write_json(&process_file, &process)?;
    let (executor, report) = LastExecutor::new(last, order.terminal)?;
    let console = console_socket(order, &folder)?;
    let built = builder(order, &folder, executor, streams, console.as_ref())?
        .as_tenant()
        .with_detach(true)
        .with_process(Some(&process_file))
        .build();
    // It has been read, and a leftover goes with the container's folder.
    drop(fs::remove_file(&process_file));
    // The executor's report is exact; libcontainer's error covers the steps before it.
    report.wait()?;
    let pid = built.map_err(|error| Failure::internal("start the process", &error))?;
    Ok((pid.as_raw(), receive_terminal(console)?))
}
