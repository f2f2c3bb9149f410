//! Which huge pages a sandbox's VM sets aside. Main function: [`of_sandbox`]. Above: RunPodSandbox; below: `translate`, which decides by the limits.
//!
//! kubelet tells a runtime the limits of each container when it creates it, which is too late for a VM, and of the sandbox only memory and processors. But before
//! it runs a sandbox it has written the sum into the pod's cgroup.

use std::{fs, io, path::Path};

use cri::v1::{HugepageLimit, PodSandboxConfig};
use model::HugePages;
use tonic::Status;

use crate::{
    node::Node,
    translate::{self, PodKind},
    work,
};

/// What a controller that limits nothing says.
const NO_LIMIT: &str = "max";

/// As the sandbox says, or else its cgroup. A pod on the node has the node's own.
pub(crate) async fn of_sandbox(
    node: &Node,
    config: &PodSandboxConfig,
    kind: PodKind,
) -> Result<Vec<HugePages>, Status> {
    let linux = config.linux.as_ref();
    let (PodKind::Vm, Some(linux)) = (kind, linux) else {
        return Ok(Vec::new());
    };
    if let Some(resources) = &linux.resources
        && !resources.hugepage_limits.is_empty()
    {
        return Ok(translate::huge_pages(&resources.hugepage_limits)?);
    }
    // The limits of the configured parent are not of one pod.
    if linux.cgroup_parent.is_empty() {
        return Ok(Vec::new());
    }
    let cgroup = translate::cgroup(Some(linux), &node.settings.cgroup)?;
    let folder = cgroup.mount.join(cgroup.parent.path());
    let limits = work::blocking(move || {
        limits(&folder).map_err(|error| {
            let folder = folder.display();
            Status::internal(format!(
                "read the limits on huge pages of the cgroup {folder}: {error}"
            ))
        })
    });
    Ok(translate::huge_pages(&limits.await??)?)
}

/// Those of a cgroup; one that is not there, or that has no such controller, has none.
fn limits(cgroup: &Path) -> io::Result<Vec<HugepageLimit>> {
    let entries = match fs::read_dir(cgroup) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut limits = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(page_size) = name.to_str().and_then(page_size) else {
            continue;
        };
        let text = fs::read_to_string(entry.path())?;
        let text = text.trim();
        if text == NO_LIMIT {
            continue;
        }
        let limit = text.parse();
        limits.push(HugepageLimit {
            page_size: page_size.to_owned(),
            limit: limit.map_err(|_other| {
                let text = format!("{page_size} has the limit {text:?}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
        });
    }
    Ok(limits)
}

/// Of `hugetlb.2MB.max`; `hugetlb.2MB.rsvd.max` is another limit.
fn page_size(file: &str) -> Option<&str> {
    let size = file.strip_prefix("hugetlb.")?.strip_suffix(".max")?;
    (!size.contains('.')).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_cgroup_are_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        assert!(limits(&folder.path().join("none")).unwrap().is_empty());
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("hugetlb.1GB.max", "max\n");
        write("hugetlb.2MB.rsvd.max", "4096\n");
        write("memory.max", "4096\n");
        assert!(limits(folder.path()).unwrap().is_empty());
        write("hugetlb.2MB.max", "8388608\n");
        let limit = HugepageLimit {
            page_size: "2MB".to_owned(),
            limit: 8 << 20,
        };
        assert_eq!(limits(folder.path()).unwrap(), [limit]);
        write("hugetlb.2MB.max", "many\n");
        let error = limits(folder.path()).unwrap_err();
        assert!(error.to_string().contains("2MB has the limit"), "{error}");
    }
}
