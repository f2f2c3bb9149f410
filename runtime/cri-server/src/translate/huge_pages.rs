//! Huge pages that a VM sets aside for its pod, and who may use them. Main functions: [`huge_pages`], from the limits of a sandbox; [`check_container`].
//! `vm_size` makes room for them, `volumes` mounts them; each container's limit is its cgroup's in the guest.

use cri::v1::{HugepageLimit, LinuxContainerResources};
use model::HugePages;

use super::refusal::Refusal;

/// Those of x86-64, as cgroups and CRI call them.
const SIZES: [(&str, u64); 2] = [("2MB", 2 << 20), ("1GB", 1 << 30)];

/// Of all huge pages of a VM: as much as its memory can be.
const MOST_BYTES: u64 = 1 << 42;

/// What the VM sets aside for these limits. A limit of 0 is none; one that is no number of whole pages is rounded up.
pub(crate) fn huge_pages(limits: &[HugepageLimit]) -> Result<Vec<HugePages>, Refusal> {
    let mut pools: Vec<HugePages> = Vec::new();
    for limit in limits.iter().filter(|limit| limit.limit > 0) {
        let page_bytes = page_bytes(&limit.page_size)?;
        if pools.iter().any(|pool| pool.page_bytes == page_bytes) {
            let text = format!(
                "there are two limits on huge pages of {:?}",
                limit.page_size
            );
            return Err(Refusal::invalid(text));
        }
        let pages = limit.limit.div_ceil(page_bytes);
        pools.push(HugePages {
            page_bytes,
            bytes: pages.saturating_mul(page_bytes),
        });
    }
    let sum = pools
        .iter()
        .fold(0, |sum: u64, pool| sum.saturating_add(pool.bytes));
    if sum > MOST_BYTES {
        let text = format!(
            "the sandbox asks for {sum} bytes of huge pages, and a VM can't have more than {MOST_BYTES}"
        );
        return Err(Refusal::invalid(text));
    }
    Ok(pools)
}

/// Refuses a container that may use more than the VM has set aside: where kubelet counts on pages, there have to be some.
pub(crate) fn check_container(
    resources: Option<&LinuxContainerResources>,
    pools: &[HugePages],
) -> Result<(), Refusal> {
    let limits = resources.map_or(&[][..], |resources| &resources.hugepage_limits);
    for limit in limits.iter().filter(|limit| limit.limit > 0) {
        let page_bytes = page_bytes(&limit.page_size)?;
        let has = set_aside(pools, page_bytes).map_or(0, |pool| pool.bytes);
        if limit.limit > has {
            return Err(Refusal::Unfit(format!(
                "the container may use {} bytes of huge pages of {}, and its pod's VM has {has}: it sets aside when it starts what hugepage_limits of \
                 the sandbox say, or hugetlb.{}.max of the pod's cgroup",
                limit.limit, limit.page_size, limit.page_size
            )));
        }
    }
    Ok(())
}

/// The pages of this size, if there are any.
pub(super) fn set_aside(pools: &[HugePages], page_bytes: u64) -> Option<HugePages> {
    let mut pools = pools.iter();
    pools.find(|pool| pool.page_bytes == page_bytes).copied()
}

/// How the size of a page is called.
pub(super) fn name(page_bytes: u64) -> String {
    let known = SIZES.iter().find(|(_, bytes)| *bytes == page_bytes);
    known.map_or_else(
        || format!("{page_bytes} bytes"),
        |(name, _)| (*name).to_owned(),
    )
}

fn page_bytes(page_size: &str) -> Result<u64, Refusal> {
    let known = SIZES.iter().find(|(name, _)| *name == page_size);
    known.map(|(_, bytes)| *bytes).ok_or_else(|| {
        Refusal::invalid(format!(
            "no guest has huge pages of {page_size:?}: there are 2MB and 1GB"
        ))
    })
}

#[cfg(test)]
mod tests;
