//! Containers that mount something, over the Container Runtime Interface.

use std::path::Path;

use anyhow::{Context, Result};
use cri::v1::{ContainerConfig, Mount};

use crate::daemon::{Daemon, log_text};

pub(crate) fn mount(container_path: &str, host_path: &Path) -> Mount {
    Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..Mount::default()
    }
}

pub(crate) fn with(
    daemon: &Daemon<'_>,
    name: &str,
    script: &str,
    mounts: Vec<Mount>,
) -> ContainerConfig {
    ContainerConfig {
        mounts,
        ..daemon.script(name, script)
    }
}

pub(crate) fn run(daemon: &Daemon<'_>, sandbox: &str, config: ContainerConfig) -> Result<String> {
    let id = daemon.create(sandbox, config);
    let id = id.with_context(|| format!("create it; log: {}", daemon.log()))?;
    let started = daemon.start_container(&id);
    started.with_context(|| format!("start it; log: {}", daemon.log()))?;
    Ok(id)
}

/// Runs it to its end: its exit code and what it has written.
pub(crate) fn finish(
    daemon: &Daemon<'_>,
    sandbox: &str,
    config: ContainerConfig,
) -> Result<(i32, String)> {
    let log = daemon.logs().join(&config.log_path);
    let id = run(daemon, sandbox, config)?;
    let status = daemon.ended(&id)?;
    let text = log_text(&log, "stdout")?;
    Ok((status.exit_code, String::from_utf8(text)?))
}
