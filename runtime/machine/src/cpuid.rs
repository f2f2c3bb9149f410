//! What a processor says about itself. Main type: [`ProcessorModel`]: what KVM supports on this host, with our topology (one
//! socket, one thread a core) and without performance counters. `processor` asks it for each processor's leaves.

use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2,
};
use kvm_ioctls::Cap;
use thiserror::Error;

use crate::kvm::{KvmError, Vm, refused};

/// APIC ids are 8 bits wide in MSI messages without interrupt remapping, and 255 means all processors.
pub const MOST_PROCESSORS: u32 = 255;

const LEAF_FEATURES: u32 = 0x1;
const LEAF_CACHES: u32 = 0x4;
const LEAF_COUNTERS: u32 = 0xa;
const LEAF_TOPOLOGY: u32 = 0xb;
const LEAF_TOPOLOGY_2: u32 = 0x1f;
const LEAF_AMD_FEATURES: u32 = 0x8000_0001;
const LEAF_AMD_SIZES: u32 = 0x8000_0008;
const LEAF_AMD_CACHES: u32 = 0x8000_001d;
const LEAF_AMD_TOPOLOGY: u32 = 0x8000_001e;
const LEAF_AMD_COUNTERS: u32 = 0x8000_0022;
const LEAF_AMD_TOPOLOGY_2: u32 = 0x8000_0026;

/// Leaf 1, ECX.
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// Leaf 1, EDX: more than one logical processor in the package.
const HYPER_THREADING: u32 = 1 << 28;
/// Leaf 0x80000001, ECX: what HYPER_THREADING counts are cores.
const CORES_NOT_THREADS: u32 = 1 << 1;
/// Leaf 0x80000001, ECX: performance counters of cores and of the north bridge.
const AMD_COUNTERS: u32 = 1 << 23 | 1 << 24;

/// The same for all processors of a machine, up to their ids.
#[derive(Debug, Clone)]
pub struct ProcessorModel {
    entries: Vec<kvm_cpuid_entry2>,
    count: u32,
    tsc_deadline: bool,
    amd: bool,
}

impl ProcessorModel {
    /// What KVM supports here, for a machine with so many processors.
    ///
    /// # Errors
    /// When KVM can't have so many, or does not say what it supports.
    pub fn new(vm: &Vm, count: u32) -> Result<Self, ProcessorModelError> {
        let most = u32::try_from(vm.kvm().get_max_vcpus())
            .unwrap_or(MOST_PROCESSORS)
            .min(MOST_PROCESSORS);
        if count == 0 || count > most {
            return Err(ProcessorModelError::Count { count, most });
        }
        let supported = vm
            .kvm()
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(refused("ask KVM which processor features it supports"))?;
        Ok(Self::from_supported(
            supported.as_slice(),
            count,
            vm.kvm().check_extension(Cap::TscDeadlineTimer),
        ))
    }

    fn from_supported(supported: &[kvm_cpuid_entry2], count: u32, tsc_deadline: bool) -> Self {
        let amd = supported
            .iter()
            .find(|entry| entry.function == 0)
            .is_some_and(|entry| [*b"Auth", *b"Hygo"].contains(&entry.ebx.to_le_bytes()));
        let replaced = [LEAF_TOPOLOGY, LEAF_TOPOLOGY_2, LEAF_AMD_TOPOLOGY_2];
        let topology = supported
            .iter()
            .any(|entry| entry.function == LEAF_TOPOLOGY);
        let mut entries: Vec<_> = supported
            .iter()
            .filter(|entry| !replaced.contains(&entry.function))
            .copied()
            .collect();
        if topology {
            entries.extend((0..3).map(|index| kvm_cpuid_entry2 {
                function: LEAF_TOPOLOGY,
                index,
                flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                ..Default::default()
            }));
        }
        Self {
            entries,
            count,
            tsc_deadline,
            amd,
        }
    }

    /// How many bits of an address the guest's processors have. Page tables of four levels below a guest reach 48, whatever the
    /// processor has, and one that does not say has 36 (SDM volume 2, CPUID leaf 80000008H).
    #[must_use]
    pub fn address_bits(&self) -> u8 {
        const LEAST: u8 = 36;
        const MOST: u8 = 48;
        let sizes = self.entries.iter();
        let sizes = sizes.filter(|entry| entry.function == LEAF_AMD_SIZES);
        let bits = sizes.map(|entry| entry.eax.to_le_bytes()[0]).next();
        bits.unwrap_or(LEAST).clamp(LEAST, MOST)
    }

    /// How many processors the machine has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn leaves(&self, id: u32) -> Result<CpuId, KvmError> {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            self.adapt(entry, id);
        }
        CpuId::from_entries(&entries).map_err(|_too_many| KvmError::Refused {
            attempt: "list the processor's features",
            source: kvm_ioctls::Error::new(libc::E2BIG),
        })
    }

    fn adapt(&self, entry: &mut kvm_cpuid_entry2, id: u32) {
        let count = self.count;
        let share = count.next_power_of_two() - 1;
        match entry.function {
            LEAF_FEATURES => {
                entry.ebx = entry.ebx & 0xffff | count << 16 | id << 24;
                entry.ecx |= HYPERVISOR;
                set(&mut entry.ecx, TSC_DEADLINE, self.tsc_deadline);
                set(&mut entry.edx, HYPER_THREADING, count > 1);
            }
            LEAF_CACHES => {
                let sharers = if cache_level(entry) == 3 { share } else { 0 };
                entry.eax = entry.eax & 0x3fff | sharers << 14 | share.min(63) << 26;
            }
            LEAF_COUNTERS | LEAF_AMD_COUNTERS => {
                [entry.eax, entry.ebx, entry.ecx, entry.edx] = [0; 4];
            }
            LEAF_TOPOLOGY => topology(entry, count, id),
            LEAF_AMD_FEATURES => {
                entry.ecx &= !AMD_COUNTERS;
                set(&mut entry.ecx, CORES_NOT_THREADS, self.amd && count > 1);
            }
            LEAF_AMD_SIZES if self.amd => entry.ecx = width(count) << 12 | (count - 1),
            LEAF_AMD_CACHES => {
                let sharers = if cache_level(entry) == 3 {
                    count - 1
                } else {
                    0
                };
                entry.eax = entry.eax & 0x3fff | sharers << 14;
            }
            LEAF_AMD_TOPOLOGY => {
                entry.eax = id;
                entry.ebx = id & 0xff; // Core id; one thread a core.
                entry.ecx = 0; // Node 0 of one.
            }
            _ => {}
        }
    }
}

/// Extended topology (Intel SDM, CPUID leaf 0xb): threads of a core, then cores of the package.
fn topology(entry: &mut kvm_cpuid_entry2, count: u32, id: u32) {
    const THREADS: u32 = 1 << 8;
    const CORES: u32 = 2 << 8;
    let (shift, below, kind) = match entry.index {
        0 => (0, 1, THREADS),
        1 => (width(count), count, CORES),
        _ => (0, 0, 0),
    };
    entry.eax = shift;
    entry.ebx = below;
    entry.ecx = entry.index | kind;
    entry.edx = id;
}

/// Bits that number so many.
fn width(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

fn cache_level(entry: &kvm_cpuid_entry2) -> u32 {
    entry.eax >> 5 & 7
}

fn set(register: &mut u32, bits: u32, on: bool) {
    *register = if on {
        *register | bits
    } else {
        *register & !bits
    };
}

/// Why a machine can't have these processors.
#[derive(Debug, Error)]
pub enum ProcessorModelError {
    /// None, or more than KVM or our interrupts can address.
    #[error("give the machine {count} processors: it can have 1 to {most} on this host")]
    Count {
        /// What was asked for.
        count: u32,
        /// What is possible.
        most: u32,
    },
    /// KVM refused.
    #[error(transparent)]
    Kvm(#[from] KvmError),
}

#[cfg(test)]
mod tests;
