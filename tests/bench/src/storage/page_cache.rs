//! How much of the host's page cache an image takes, when one pod has read it and when several have. Main function: [`measure`].

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use cri::v1::ContainerConfig;
use serde::{Deserialize, Serialize};

use crate::pods::{self, node::Node};

/// Pods of one image, at the same time.
pub(crate) const PODS: u32 = 3;

/// In KiB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PageCache {
    /// What the image store's files hold of it, by fincore(1), when one pod has read the image's large file.
    pub(crate) of_images_one: u64,
    /// When each of [`PODS`] has.
    pub(crate) of_images_all: u64,
    /// All of it, memory that programs share left out (`Cached` without `Shmem`, proc_meminfo(5)), when one pod has read it.
    pub(crate) of_host_one: u64,
    /// When each has.
    pub(crate) of_host_all: u64,
}

pub(super) async fn measure(node: &mut Node) -> Result<PageCache> {
    let images = node.folder.join("state/images");
    rustix::fs::sync();
    // Clean pages only; the images' are, now.
    fs::write("/proc/sys/vm/drop_caches", "1").context("empty the host's page cache")?;
    let mut sandboxes = Vec::new();
    let mut seen = Vec::new();
    for number in 0..PODS {
        let sandbox = pods::run_sandbox(node, number).await?;
        let config = ContainerConfig::default();
        let container = pods::run_configured(node, number, &sandbox, config).await?;
        let read = ["sh", "-c", "exec cat /tree/large >/dev/null"];
        super::exec(node, &container, &read).await?;
        sandboxes.push(sandbox);
        seen.push((resident(&images)?, of_host()?));
    }
    for sandbox in sandboxes {
        pods::remove(node, sandbox).await?;
    }
    let first = *seen.first().context("a pod")?;
    let last = *seen.last().context("a pod")?;
    Ok(PageCache {
        of_images_one: first.0,
        of_images_all: last.0,
        of_host_one: first.1,
        of_host_all: last.1,
    })
}

/// Of all files below a folder.
fn resident(folder: &Path) -> Result<u64> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    let output = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .args(&files)
        .output()
        .context("run fincore (Debian's util-linux)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fincore: {said}");
    let text = String::from_utf8(output.stdout)?;
    let sizes = text.split_whitespace().map(str::parse::<u64>);
    let bytes: u64 = sizes
        .sum::<Result<_, _>>()
        .context("read what fincore says")?;
    Ok(bytes >> 10)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() {
            list(&entry.path(), files)?;
        } else if about.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn of_host() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    cached(&text).context("the page cache in /proc/meminfo")
}

fn cached(meminfo: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some(field("Cached:")?.saturating_sub(field("Shmem:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_no_part_of_the_cache() {
        let text = "MemFree:  7 kB\nCached:     1000 kB\nSwapCached: 3 kB\nShmem:   400 kB\n";
        assert_eq!(cached(text), Some(600));
        assert_eq!(cached("Cached: 1000 kB\n"), None);
    }
}
