//! What a container may use, and what it may do, is what was said.

use anyhow::{Context, Result, ensure};

use crate::Test;
use crate::case::Case;

pub(crate) const TESTS: &[Test] = &[
    ("four_cpus_are_seen", four_cpus),
    ("memory_limit_is_enforced_and_said", out_of_memory),
    ("memory_below_the_limit_is_there", memory_is_there),
    ("pids_limit_is_enforced", pids_limit),
    ("seccomp_filter_is_on", seccomp),
    ("capabilities_are_the_default_set", capabilities),
];

fn four_cpus(case: &Case) -> Result<()> {
    let script = "nproc; grep -c ^processor /proc/cpuinfo";
    case.run(&["--cpus", "4"], &["sh", "-c", script])?
        .expect_code(0)?
        .expect_stdout("4\n4\n")?;
    case.run(&["--cpus", "1"], &["nproc"])?
        .expect_code(0)?
        .expect_stdout("1\n")?;
    Ok(())
}

/// `tail` must keep its last line, and the line never ends.
fn out_of_memory(case: &Case) -> Result<()> {
    let script = "cat /sys/fs/cgroup/memory.max; exec tail -n 1 /dev/zero";
    let ended = case.run(&["--memory", "32"], &["sh", "-c", script])?;
    ended.expect_code(137)?.expect_error_naming(&["memory"])?;
    ensure!(
        ended.text() == (32_u64 << 20).to_string(),
        "memory.max is not 32 MiB: {ended}"
    );
    let said = ["out of memory", "oomkilled"]
        .iter()
        .any(|words| ended.stderr.to_lowercase().contains(words));
    ensure!(said, "it must say that memory ran out: {ended}");
    Ok(())
}

/// Most of the limit can be used: the guest's own memory is not taken out of the container's.
fn memory_is_there(case: &Case) -> Result<()> {
    // dd has one buffer of the block's size, and fills it.
    let command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=48M", "count=1"];
    case.run(&["--memory", "64"], &command)?.expect_code(0)?;
    Ok(())
}

fn pids_limit(case: &Case) -> Result<()> {
    let script = "cat /sys/fs/cgroup/pids.max; i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; echo all";
    let ended = case.run(&["--pids-limit", "20"], &["sh", "-c", script])?;
    ensure!(
        ended.text() == "20",
        "pids.max is 20 and the 40 children can't all be started: {ended}"
    );
    ended.expect_failure()?.expect_error_naming(&["fork"])?;
    case.run(&["--pids-limit", "60"], &["sh", "-c", script])?
        .expect_code(0)?
        .expect_stdout("60\nall\n")?;
    Ok(())
}

fn seccomp(case: &Case) -> Result<()> {
    let status = case.run(&[], &["grep", "^Seccomp:", "/proc/self/status"])?;
    status.expect_code(0)?.expect_stdout("Seccomp:\t2\n")?;
    // A call that the filter denies also to root in its own user namespace.
    let denied = case.run(&[], &["sh", "-c", "unshare -U true 2>&1; test $? -ne 0"])?;
    denied.expect_code(0)?;
    ensure!(
        denied.text().to_lowercase().contains("not permitted"),
        "unshare must be refused: {denied}"
    );
    Ok(())
}

/// The default set of containerd and Docker: nothing that reaches beyond the container.
fn capabilities(case: &Case) -> Result<()> {
    const SYS_ADMIN: u32 = 21;
    const SYS_MODULE: u32 = 16;
    const CHOWN: u32 = 0;
    let ended = case.run(&[], &["grep", "^CapEff:", "/proc/self/status"])?;
    ended.expect_code(0)?;
    let text = ended.text();
    let mask = text
        .split_whitespace()
        .nth(1)
        .context("CapEff has a value")?;
    let mask = u64::from_str_radix(mask, 16).with_context(|| format!("read the mask {mask:?}"))?;
    ensure!(
        mask & (1 << CHOWN) != 0,
        "CAP_CHOWN is in the default set: {mask:x}"
    );
    ensure!(
        mask & (1 << SYS_ADMIN | 1 << SYS_MODULE) == 0,
        "too much is in the set: {mask:x}"
    );
    Ok(())
}
