//! A container sees its image and its guest, and nothing of the host or of another container.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::Test;
use crate::case::Case;
use crate::deadlines;

pub(crate) const TESTS: &[Test] = &[
    ("no_file_of_the_host_is_seen", no_host_file),
    ("kernel_and_processes_are_the_guests", own_kernel),
    ("two_vms_at_once_know_nothing_of_each_other", two_at_once),
    ("write_stays_in_its_run", writes_are_dropped),
    ("read_only_root_takes_no_write", read_only_root),
];

/// What a container's mounts may be: its image, memory of the guest, and views of the guest's kernel.
const GUEST_FILE_SYSTEMS: &[&str] = &[
    "overlay", "erofs", "tmpfs", "ramfs", "rootfs", "proc", "sysfs", "devpts", "devtmpfs",
    "mqueue", "cgroup2",
];

fn no_host_file(case: &Case) -> Result<()> {
    let name = "a-file-of-the-host-that-no-guest-may-see";
    fs::write(case.folder().join(name), name).context("write a file on the host")?;
    let find =
        format!("find / -name {name} -not -path '/proc/*'; cut -d ' ' -f 3 /proc/mounts | sort -u");
    let ended = case.run(&[], &["sh", "-c", &find])?;
    ended.expect_code(0)?;
    for kind in ended.text().lines() {
        ensure!(
            GUEST_FILE_SYSTEMS.contains(&kind),
            "{kind:?} is no file or file system of the guest: {ended}"
        );
    }
    Ok(())
}

fn own_kernel(case: &Case) -> Result<()> {
    let host_boot =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the host's boot id")?;
    let script = "cat /proc/sys/kernel/random/boot_id; echo pid $$; ps -o pid | wc -l";
    let ended = case.run(&[], &["sh", "-c", script])?;
    ended.expect_code(0)?;
    let text = ended.text();
    let lines: Vec<&str> = text.lines().collect();
    let [boot, pid, processes] = lines.as_slice() else {
        anyhow::bail!("three lines, but {ended}")
    };
    ensure!(
        *boot != host_boot.trim(),
        "the container runs on the host's kernel"
    );
    ensure!(
        *pid == "pid 1",
        "the command is its container's first process: {ended}"
    );
    // The shell, ps, wc and the heading.
    ensure!(
        processes
            .trim()
            .parse::<u32>()
            .is_ok_and(|count| count <= 5),
        "it sees others: {ended}"
    );
    Ok(())
}

fn two_at_once(case: &Case) -> Result<()> {
    let script =
        "cat /proc/sys/kernel/random/boot_id; echo mine > /tmp/mine; echo up; cat; ls /tmp";
    let mut first = case.start(&["-i"], &["sh", "-c", script])?;
    let mut second = case.start(&["-i"], &["sh", "-c", script])?;
    // Both are starved of each other's processor time in the test host: twice the patience.
    let patience = case.patience.stretch(deadlines::RUN * 2);
    first.stdout.wait_for("up\n", patience)?;
    second.stdout.wait_for("up\n", patience)?;
    ensure!(!first.has_ended()? && !second.has_ended()?, "both run now");
    first.write(b"for the first\n")?;
    second.write(b"for the second\n")?;
    first
        .stdout
        .wait_for("for the first\n", case.patience.stretch(deadlines::STEP))?;
    second
        .stdout
        .wait_for("for the second\n", case.patience.stretch(deadlines::STEP))?;
    let first = first.finish(patience)?;
    first.expect_code(0)?;
    let second = second.finish(patience)?;
    second.expect_code(0)?;
    ensure!(
        !first.text().contains("second") && !second.text().contains("first"),
        "{first}\n{second}"
    );
    let boots = [first.text(), second.text()]
        .map(|text| text.lines().next().unwrap_or_default().to_owned());
    ensure!(
        boots[0] != boots[1],
        "two kernels have two boot ids: {boots:?}"
    );
    Ok(())
}

fn writes_are_dropped(case: &Case) -> Result<()> {
    let script = "test ! -e /left && echo new > /left && rm /bin/trap && cat /left";
    for _ in 0..2 {
        case.run(&[], &["sh", "-c", script])?
            .expect_code(0)?
            .expect_stdout("new\n")?;
    }
    Ok(())
}

fn read_only_root(case: &Case) -> Result<()> {
    let ended = case.run(&["--read-only"], &["sh", "-c", "echo new > /left"])?;
    ended
        .expect_failure()?
        .expect_error_naming(&["read-only"])?;
    Ok(())
}
