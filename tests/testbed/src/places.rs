//! Places of test hosts on this machine: how many there are, and taking one. Main type: [`Place`].

use std::fs::{self, File, TryLockError};
use std::num::NonZeroUsize;
use std::thread;

use crate::{Result, cache, file_error};

/// What a test host may come to take, in KiB: its memory and QEMU's own, and some for what runs beside it.
const HOST_KIB: u64 = 6 << 20;

/// However large the machine is.
const MOST: usize = 8;

/// How many test hosts may run at once: `COFFERDAM_TEST_HOSTS`, or three for two processors, where there is memory for them. For
/// a host waits a quarter of its time, for grace periods and for what does not end at once.
pub fn places() -> usize {
    let said = std::env::var("COFFERDAM_TEST_HOSTS").ok();
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    places_of(said.as_deref(), processors, total_kib(&memory))
}

fn places_of(said: Option<&str>, processors: usize, total_kib: Option<u64>) -> usize {
    let fitting = |kib| usize::try_from(kib / HOST_KIB).unwrap_or(MOST);
    let usual = || (processors + processors.div_ceil(2)).min(total_kib.map_or(1, fitting));
    let said = said.and_then(|number| number.parse().ok());
    said.unwrap_or_else(usual).clamp(1, MOST)
}

/// `MemTotal` of proc_meminfo(5). What is available would change with each host that starts.
fn total_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A test host's place on this machine. Dropping it, or dying, gives it up.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) number: usize,
    _lock: File,
}

/// Takes a place; where all are taken, waits for the first, which is said.
pub(crate) fn take_place() -> Result<Place> {
    for number in 0..places() {
        let lock = cache::open_lock(&name(number))?;
        match lock.try_lock() {
            Ok(()) => {
                return Ok(Place {
                    number,
                    _lock: lock,
                });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(file_error("lock", name(number))(error)),
        }
    }
    let waiting = "as many test hosts run on this machine as it has places for: waiting for one";
    Ok(Place {
        number: 0,
        _lock: cache::lock(&name(0), waiting)?,
    })
}

fn name(place: usize) -> String {
    match place {
        0 => "host.lock".to_owned(),
        number => format!("host-{number}.lock"),
    }
}

#[cfg(test)]
mod tests;
