//! cgroup v2 with every controller handed down, as a node has it.

use std::fs;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

const ROOT: &str = "/sys/fs/cgroup";

pub(crate) fn delegate() -> Result<()> {
    mount(
        "cgroup2",
        ROOT,
        "cgroup2",
        MountFlags::empty(),
        c"nsdelegate,memory_recursiveprot",
    )
    .context("mount cgroup2")?;
    // Groups with processes of their own hand nothing down; the root is exempt, but tools that look for such are not.
    let own = format!("{ROOT}/init");
    fs::create_dir(&own).with_context(|| format!("create {own}"))?;
    fs::write(format!("{own}/cgroup.procs"), "0").context("move PID 1 to its cgroup")?;
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers"))
        .context("read the controllers that there are")?;
    for controller in controllers.split_whitespace() {
        fs::write(
            format!("{ROOT}/cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .with_context(|| format!("hand down controller {controller}"))?;
    }
    Ok(())
}
