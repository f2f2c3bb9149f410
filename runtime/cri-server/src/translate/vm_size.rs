//! How large a sandbox's VM is. Main function: [`vm_size`].
//!
//! kubelet says the sum over the containers before there is one. Of the limits it sums only those that are set, and a container without
//! a limit may use what there is; memory that is not used costs the host nothing.
//!
//! - Memory for containers: the sum of their limits, or the configured default when there is none.
//! - Huge pages: no limit of memory counts them, so they are added.
//! - Memory above that: the runtime class's overhead, but at least the configured one, which the guest's kernel needs to boot; and room
//!   for one writable layer, where they lie in memory.
//! - Processors: the sum of the limits, rounded up. Without one, as many as were requested (1024 shares are one), but at least the
//!   configured default.

use cri::v1::{LinuxContainerResources, LinuxPodSandboxConfig};
use model::{HugePages, VmSize};

use crate::settings::VmDefaults;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Largest VM, in MiB: what `cofferdam run` takes, too.
const MOST_MIB: u64 = 4_194_304;

/// cgroup v1's `cpu.shares` of one processor.
const SHARES_OF_ONE: u64 = 1024;

/// The size of the VM of this sandbox.
pub(crate) fn vm_size(
    linux: Option<&LinuxPodSandboxConfig>,
    vm: VmDefaults,
    memory_layer_mib: u32,
    huge_pages: &[HugePages],
) -> VmSize {
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let overhead = linux.and_then(|linux| linux.overhead.as_ref());
    let memory_mib = resources.and_then(limit_mib).unwrap_or(vm.memory_mib);
    let memory_mib = memory_mib.saturating_add(huge_mib(huge_pages));
    let overhead_mib = overhead
        .and_then(limit_mib)
        .unwrap_or(0)
        .max(vm.overhead_mib)
        .saturating_add(memory_layer_mib);
    let processors = processors(resources, vm.processors);
    VmSize::for_containers(processors, memory_mib, overhead_mib)
}

/// What is set aside for huge pages.
fn huge_mib(pools: &[HugePages]) -> u32 {
    let of_pool = |pool: &HugePages| {
        // The gigabyte that the kernel lies in can be none of its pages.
        let beside = if pool.page_bytes == GIB { GIB } else { 0 };
        pool.bytes.saturating_add(beside).div_ceil(MIB)
    };
    let mib = pools.iter().map(of_pool).fold(0, u64::saturating_add);
    u32::try_from(mib.min(MOST_MIB)).unwrap_or(u32::MAX)
}

/// A memory limit in MiB, rounded up; none when there is no limit.
fn limit_mib(resources: &LinuxContainerResources) -> Option<u32> {
    let bytes = u64::try_from(resources.memory_limit_in_bytes).ok()?;
    if bytes == 0 {
        return None;
    }
    u32::try_from(bytes.div_ceil(MIB).min(MOST_MIB)).ok()
}

fn processors(resources: Option<&LinuxContainerResources>, default: u8) -> u8 {
    let Some(resources) = resources else {
        return default;
    };
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    if let (Some(quota), Some(period)) = (
        positive(resources.cpu_quota),
        positive(resources.cpu_period),
    ) {
        return at_most_all(quota.div_ceil(period));
    }
    let requested = positive(resources.cpu_shares).unwrap_or(0);
    at_most_all(requested.div_ceil(SHARES_OF_ONE)).max(default)
}

fn at_most_all(processors: u64) -> u8 {
    u8::try_from(processors).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: VmDefaults = VmDefaults {
        processors: 2,
        memory_mib: 256,
        overhead_mib: 96,
    };
    const LAYER_MIB: u32 = 64;

    fn resources(memory: i64, quota: i64, shares: i64) -> LinuxContainerResources {
        LinuxContainerResources {
            memory_limit_in_bytes: memory,
            cpu_quota: quota,
            cpu_period: 100_000,
            cpu_shares: shares,
            ..LinuxContainerResources::default()
        }
    }

    fn sized(
        resources: Option<LinuxContainerResources>,
        overhead: Option<LinuxContainerResources>,
    ) -> VmSize {
        let linux = LinuxPodSandboxConfig {
            resources,
            overhead,
            ..LinuxPodSandboxConfig::default()
        };
        vm_size(Some(&linux), VM, LAYER_MIB, &[])
    }

    #[test]
    fn size_follows_what_the_sandbox_says() {
        let check = |size: VmSize, processors: u8, memory_mib: u32, overhead_mib: u32| {
            let expect = VmSize::for_containers(processors, memory_mib, overhead_mib + 64);
            assert_eq!(size, expect);
        };
        check(vm_size(None, VM, LAYER_MIB, &[]), 2, 256, 96);
        check(sized(None, None), 2, 256, 96);
        check(sized(Some(resources(0, 0, 0)), None), 2, 256, 96);
        // Limits are rounded up.
        check(sized(Some(resources(1, 1, 0)), None), 1, 1, 96);
        check(
            sized(Some(resources((512 << 20) + 1, 250_000, 0)), None),
            3,
            513,
            96,
        );
        // Requests alone raise the processors, and never lower them.
        check(sized(Some(resources(0, 0, 2)), None), 2, 256, 96);
        check(sized(Some(resources(0, -1, 3073)), None), 4, 256, 96);
        // Overhead counts above what the guest needs in any case.
        check(sized(None, Some(resources(1 << 20, 0, 0))), 2, 256, 96);
        check(sized(None, Some(resources(200 << 20, 0, 0))), 2, 256, 200);
    }

    #[test]
    fn huge_pages_are_beside_the_containers_memory() {
        let pool = |page_bytes, bytes| HugePages { page_bytes, bytes };
        let check = |pools: &[HugePages], memory_mib: u32| {
            let expect = VmSize::for_containers(2, memory_mib, 96 + LAYER_MIB);
            assert_eq!(vm_size(None, VM, LAYER_MIB, pools), expect);
        };
        let small = pool(2 << 20, 512 << 20);
        check(&[small], 256 + 512);
        check(&[small, pool(1 << 30, 2 << 30)], 256 + 512 + 3072);
    }

    #[test]
    fn size_of_an_absurd_sandbox_is_the_largest() {
        let size = sized(Some(resources(i64::MAX, i64::MAX, i64::MAX)), None);
        assert_eq!(size.processors, u8::MAX);
        assert!(size.memory_mib > 4_194_304);
        let size = sized(Some(resources(i64::MIN, i64::MIN, i64::MIN)), None);
        assert_eq!(size, sized(None, None));
    }
}
