//! How often a processor left the guest for this process, by kind. Main type: [`ExitCounts`]. `processor` counts, the bench
//! reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::processor::Exit;

/// Counters of one processor. Only its thread writes; anybody may read while it runs.
#[derive(Debug, Default)]
pub struct ExitCounts {
    port_reads: AtomicU64,
    port_writes: AtomicU64,
    memory_reads: AtomicU64,
    memory_writes: AtomicU64,
    interrupted: AtomicU64,
    others: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitTotals {
    /// `in`.
    pub port_reads: u64,
    /// `out`.
    pub port_writes: u64,
    /// Reads of devices' memory.
    pub memory_reads: u64,
    /// Writes of devices' memory that no doorbell took.
    pub memory_writes: u64,
    /// Signals.
    pub interrupted: u64,
    /// Everything else.
    pub others: u64,
}

impl ExitCounts {
    /// The totals so far.
    #[must_use]
    pub fn totals(&self) -> ExitTotals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExitTotals {
            port_reads: load(&self.port_reads),
            port_writes: load(&self.port_writes),
            memory_reads: load(&self.memory_reads),
            memory_writes: load(&self.memory_writes),
            interrupted: load(&self.interrupted),
            others: load(&self.others),
        }
    }

    pub(crate) fn count(&self, exit: &Exit<'_>) {
        increase(match exit {
            Exit::PortRead { .. } => &self.port_reads,
            Exit::PortWrite { .. } => &self.port_writes,
            Exit::MemoryRead { .. } => &self.memory_reads,
            Exit::MemoryWrite { .. } => &self.memory_writes,
            Exit::Interrupted => &self.interrupted,
            _ => &self.others,
        });
    }

    pub(crate) fn interrupted(&self) {
        increase(&self.interrupted);
    }
}

/// One writer: a load and a store cost less than a locked addition.
fn increase(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
