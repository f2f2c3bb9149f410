//! The memory of all processes together: pages that several share count once. Main function: [`kib`].

use std::fs;

use anyhow::{Context, Result};

/// The proportional set sizes of every process (proc_pid_smaps(5)), in KiB.
pub(crate) fn kib() -> Result<u64> {
    let processes = fs::read_dir("/proc").context("list the processes")?;
    let pids = processes
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    // One that has ended meanwhile, and a thread of the kernel, has none.
    let sizes = pids.filter_map(|entry| {
        let text = fs::read_to_string(entry.path().join("smaps_rollup")).ok()?;
        pss(&text)
    });
    Ok(sizes.sum())
}

fn pss(smaps_rollup: &str) -> Option<u64> {
    let line = smaps_rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportional_size_is_found() {
        let text = "55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:   3000 kB\nPss:    1234 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(pss(text), Some(1234));
        assert_eq!(pss(""), None);
    }
}
