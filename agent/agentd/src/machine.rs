//! Facts about the guest, and its end.

use std::{fs, io, path::Path};

use rustix::{
    system::{RebootCommand, reboot, sysinfo, uname},
    time::{ClockId, clock_gettime},
};

pub(crate) const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Memory that the kernel manages.
pub(crate) fn memory_bytes() -> u64 {
    let info = sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

pub(crate) fn kernel_release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// The numbers in one of the kernel's lists of processors: "present", "online".
pub(crate) fn processors(list: &str) -> Vec<u32> {
    let text = fs::read_to_string(Path::new(PROCESSORS).join(list)).unwrap_or_default();
    numbers(text.trim())
}

pub(crate) fn since_boot_us() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let us = now
        .tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1000);
    u64::try_from(us).unwrap_or(0)
}

/// Writes out what is cached and switches the guest off. Returns only when that failed.
pub(crate) fn power_off() -> io::Error {
    rustix::fs::sync();
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => io::Error::other("the kernel went on after power-off"),
        Err(errno) => errno.into(),
    }
}

/// "0-2,5" is 0, 1, 2, 5. The kernel writes these lists; the bound keeps a surprise from costing memory.
fn numbers(list: &str) -> Vec<u32> {
    const MOST: usize = 4096;
    list.split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests;
