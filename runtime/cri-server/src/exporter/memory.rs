//! What a monitor has in memory beside its guest's RAM, from /proc/PID/smaps (proc_pid_smaps(5)). Main function: [`overhead_bytes`].
//!
//! Counted is the proportional set size: private pages whole, and of the program's pages, which all monitors share, this one's share. The
//! guest's RAM is known by its size: anonymous, writable, and no machine has less than 16 MiB. Advice about a part of a mapping divides
//! it, so parts that follow one another without a gap are one.

use std::fs;

const KIB: i64 = 1 << 10;
/// The smallest guest's RAM, in KiB. Nothing else that a monitor maps anonymously and writes to is nearly as large.
const LEAST_RAM_KIB: i64 = 16 << 10;
/// Permissions, offset, device and inode of writable anonymous memory; no name follows.
const ANONYMOUS: &str = "rw-p 00000000 00:00 0";

/// Mappings alike that follow one another without a gap.
#[derive(Debug, Default)]
struct Run<'a> {
    end: u64,
    what: &'a str,
    size_kib: i64,
    pss_kib: i64,
}

/// None for a process that is gone or can't be read.
pub(super) fn overhead_bytes(monitor_pid: u32) -> Option<i64> {
    let smaps = fs::read_to_string(format!("/proc/{monitor_pid}/smaps")).ok()?;
    // A process that has just ended has a file without a line.
    (!smaps.is_empty()).then(|| overhead_kib(&smaps).saturating_mul(KIB))
}

fn overhead_kib(smaps: &str) -> i64 {
    let mut runs: Vec<Run> = Vec::new();
    for line in smaps.lines() {
        if let Some((start, end, what)) = mapping(line) {
            match runs.last_mut() {
                Some(run) if run.end == start && run.what == what => run.end = end,
                _ => runs.push(Run {
                    end,
                    what,
                    ..Run::default()
                }),
            }
        }
        let Some(run) = runs.last_mut() else { continue };
        run.size_kib += field(line, "Size:").unwrap_or(0);
        run.pss_kib += field(line, "Pss:").unwrap_or(0);
    }
    let ram = |run: &&Run| run.what == ANONYMOUS && run.size_kib >= LEAST_RAM_KIB;
    let own = runs.iter().filter(|run| !ram(run));
    own.map(|run| run.pss_kib).sum()
}

/// The first line about a mapping: its addresses, and what it is.
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let (addresses, what) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, what.trim_end()))
}

fn field(line: &str, name: &str) -> Option<i64> {
    let value = line.strip_prefix(name)?.trim().strip_suffix("kB")?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_ram_is_not_counted_however_it_is_divided() {
        let smaps = "\
55d0c0000000-55d0c0100000 r-xp 00001000 fe:00 77                         /usr/lib/cofferdam/cofferdam-vmm
Size:               1024 kB
Pss:                 100 kB
VmFlags: rd ex mr
7f0000000000-7f0000200000 rw-p 00000000 00:00 0
Size:               2048 kB
Pss:                2048 kB
7f0000200000-7f0010000000 rw-p 00000000 00:00 0
Size:             260096 kB
Pss:               40000 kB
7f0020000000-7f0020100000 rw-p 00000000 00:00 0
Size:               1024 kB
Pss:                  12 kB
7f0030000000-7f0038000000 ---p 00000000 00:00 0
Size:             131072 kB
Pss:                   0 kB
7ffc00000000-7ffc00100000 rw-p 00000000 00:00 0                          [stack]
Size:              65536 kB
Pss:                   8 kB
";
        assert_eq!(overhead_kib(smaps), 100 + 12 + 8);
        // The kernel has a blank where the name would be.
        let smaps = smaps.replace("00:00 0\n", "00:00 0 \n");
        assert_eq!(overhead_kib(&smaps), 100 + 12 + 8);
        assert_eq!(overhead_kib(""), 0);
    }

    #[test]
    fn process_that_is_gone_has_none_and_one_that_runs_has_some() {
        assert_eq!(overhead_bytes(u32::MAX), None);
        let own = overhead_bytes(std::process::id()).unwrap();
        assert!(own > 64 * KIB, "{own}");
    }
}
