//! What a container uses, as its cgroup's files say it (cgroup-v2.rst). Main type: [`Usage`].

use super::{Cgroup, number_after};

/// What a container uses now. A controller that is missing counts 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    /// 0: there is none.
    pub memory_limit_bytes: u64,
    /// Without pages of files that nobody has used for a while.
    pub working_set_bytes: u64,
    /// Anonymous memory.
    pub rss_bytes: u64,
    pub swap_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub cpu_us: u64,
    /// Tasks: processes and threads.
    pub pids: u64,
    pub oom_kills: u64,
    pub cpu_pressure: Option<Pressure>,
    pub memory_pressure: Option<Pressure>,
    pub io_pressure: Option<Pressure>,
}

/// Time in which tasks waited for a resource (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one waited.
    pub some: PressureShare,
    /// All waited.
    pub full: PressureShare,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PressureShare {
    /// Percent, over the last 10, 60 and 300 seconds.
    pub averages: [f64; 3],
    pub total_us: u64,
}

impl Cgroup {
    /// Whether it is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// What it uses now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // No number: "max", or no such file.
        let number = |file| self.read(file).trim().parse().unwrap_or(0);
        let memory = self.read("memory.stat");
        let memory_bytes: u64 = number("memory.current");
        Usage {
            memory_bytes,
            memory_peak_bytes: number("memory.peak"),
            memory_limit_bytes: number("memory.max"),
            working_set_bytes: memory_bytes.saturating_sub(number_after(&memory, "inactive_file")),
            rss_bytes: number_after(&memory, "anon"),
            swap_bytes: number("memory.swap.current"),
            page_faults: number_after(&memory, "pgfault"),
            major_page_faults: number_after(&memory, "pgmajfault"),
            cpu_us: number_after(&self.read("cpu.stat"), "usage_usec"),
            pids: number("pids.current"),
            oom_kills: self.oom_kills(),
            cpu_pressure: pressure(&self.read("cpu.pressure")),
            memory_pressure: pressure(&self.read("memory.pressure")),
            io_pressure: pressure(&self.read("io.pressure")),
        }
    }

    /// How many processes are in it and below it.
    #[must_use]
    pub fn process_count(&self) -> u64 {
        u64::try_from(self.processes().len()).unwrap_or(u64::MAX)
    }
}

/// Two lines, "some" and "full": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". None where the kernel does not count.
fn pressure(text: &str) -> Option<Pressure> {
    let share = |kind: &str| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(kind))?;
        let field = |name: &str| {
            let mut fields = line.split_whitespace();
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let average = |name| field(name).and_then(|number| number.parse().ok());
        Some(PressureShare {
            averages: [average("avg10")?, average("avg60")?, average("avg300")?],
            total_us: field("total")?.parse().ok()?,
        })
    };
    Some(Pressure {
        some: share("some ")?,
        // Older kernels have none for processors.
        full: share("full ").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
