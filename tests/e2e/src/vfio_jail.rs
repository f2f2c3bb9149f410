//! A monitor whose guest has a function of the host is as locked up as any other: no capability, a filter over every thread, an empty root;
//! and while the guest works on the function, no file is open that was not open when the machine began.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::Test;
use crate::case::Case;
use crate::spare::Spare;
use crate::vfio::{Given, run};
use crate::vfio_nodes;

pub(crate) const TESTS: &[Test] = &[(
    "monitor_with_a_function_is_jailed_and_opens_nothing",
    |case| run(jailed(case)),
)];

/// What every machine has, by the beginnings of the links in /proc/PID/fd.
const OF_ANY: &[&str] = &["anon_inode:", "socket:", "/dev/null", "/dev/kvm", "/memfd:"];

async fn jailed(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    let group = spare.give_away()?;
    let mut nodes = vec![group];
    if vfio_nodes::has_iommufd()? {
        nodes.push(vfio_nodes::cdev(&spare.address)?);
    }
    for (node, round) in nodes.into_iter().zip(0..) {
        let given = Given::boot(case, &spare, &node).await?;
        let looked = look(case, &given, round).await;
        given.vm.end(case, looked).await?;
    }
    Ok(())
}

async fn look(case: &Case, given: &Given<'_>, round: u8) -> Result<()> {
    let monitor = Path::new("/proc").join(case.monitor()?.as_raw_nonzero().to_string());
    locked_up(&monitor)?;
    let before = files(&monitor)?;
    let functions = before.iter().any(|file| file.starts_with("/dev/vfio"));
    ensure!(functions, "it has no function: {before:?}");

    given.work(round).await?;

    locked_up(&monitor)?;
    let after = files(&monitor)?;
    // The container's image came by the control socket, open.
    let new: Vec<_> = after.difference(&before).collect();
    ensure!(
        new.iter().all(|file| file.starts_with(case.folder())),
        "it has files that it had not: {new:?}"
    );
    Ok(())
}

/// Files that are open, and no sockets or the like.
fn files(monitor: &Path) -> Result<BTreeSet<PathBuf>> {
    let links = fs::read_dir(monitor.join("fd")).context("list its descriptors")?;
    let targets = links.flatten().map(|link| fs::read_link(link.path()));
    let targets = targets.collect::<Result<BTreeSet<_>, _>>()?;
    let of_any = |target: &PathBuf| {
        let target = target.to_string_lossy();
        OF_ANY.iter().any(|known| target.starts_with(known))
    };
    Ok(targets
        .into_iter()
        .filter(|target| !of_any(target))
        .collect())
}

fn locked_up(monitor: &Path) -> Result<()> {
    let root = fs::read_dir(monitor.join("root")).context("look at its root")?;
    ensure!(root.count() == 0, "its root is not empty");
    for task in fs::read_dir(monitor.join("task")).context("list its threads")? {
        let status = fields(&task?.path().join("status"))?;
        let field = |name: &str| status.get(name).map_or("", String::as_str);
        let name = field("Name");
        // Helper threads of the kernel's KVM run no code of ours.
        if name.starts_with("kvm-") {
            continue;
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure!(field(set) == "0000000000000000", "{set} of {name}");
        }
        ensure!(field("NoNewPrivs") == "1", "{name} may gain privileges");
        ensure!(field("Seccomp") == "2", "{name} has no filter");
    }
    Ok(())
}

fn fields(status: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(status).context("read a thread's status")?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(pairs.collect())
}
