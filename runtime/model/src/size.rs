//! How large a pod's VM is. Main types: [`VmSize`]; [`HugePages`], what of its memory is set aside.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// Huge pages of one size that a guest sets aside when it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// Of one page: a power of two.
    pub page_bytes: u64,
    /// Of all of them: whole pages.
    pub bytes: u64,
}

/// Size of one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSize {
    /// Virtual processors.
    pub processors: u8,
    /// RAM, in MiB.
    pub memory_mib: u32,
}

impl VmSize {
    /// A VM whose containers may use `memory_mib`: the guest's kernel, its page tables and the agent get theirs on top.
    ///
    /// The share: 1/64 of RAM is `struct page` (64 bytes for 4096, Linux mm_types.h), the rest of a guest at rest is kernel text and
    /// data, the agent and slack for its page cache.
    #[must_use]
    pub fn for_containers(processors: u8, memory_mib: u32, overhead_mib: u32) -> Self {
        let pages_mib = memory_mib / 63 + 1;
        let total = memory_mib
            .saturating_add(pages_mib)
            .saturating_add(overhead_mib);
        Self {
            processors,
            memory_mib: total,
        }
    }

    /// RAM in bytes.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        u64::from(self.memory_mib) * MIB
    }
}

#[cfg(test)]
mod tests;
