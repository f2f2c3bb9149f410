//! Block devices of the node that containers have as their own, over the Container Runtime Interface: what the kubelet asks for where a pod has
//! `volumeDevices`. The devices are loop devices over files.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Device};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::mounting::{finish, run};

pub(crate) const TESTS: &[Test] = &[
    ("device_is_written_and_the_node_has_it", written),
    ("device_to_be_read_alone_refuses_writes", read_only),
    ("discarded_blocks_are_given_back", discarded),
    ("containers_share_a_device_over_a_restart", shared),
    ("device_goes_with_its_last_container", gone),
    ("device_that_can_not_be_had_is_named", missing),
    ("device_that_grows_is_larger_in_the_guest", grows),
];

const MIB: u64 = 1 << 20;

/// Until it is told to end.
const WAIT: &str = "trap 'exit 0' TERM; while :; do sleep 1; done";

/// A loop device over a sparse file of the test's folder.
struct Loop {
    device: PathBuf,
    file: PathBuf,
}

impl Loop {
    fn new(case: &Case, name: &str) -> Result<Self> {
        let file = case.folder().join(name);
        File::create(&file)?.set_len(16 * MIB)?;
        let made = losetup(&["--find", "--show", &file.to_string_lossy()])?;
        let device = made.context("make a loop device")?.into();
        Ok(Self { device, file })
    }

    /// Takes it away, as the detach of a volume does. With somebody who has it open it would stay.
    fn detach(&self) -> Result<()> {
        let device = self.device.to_string_lossy();
        losetup(&["--detach", &device])?.context("detach the loop device")?;
        let there = losetup(&[&device])?;
        ensure!(there.is_none(), "somebody has {device} open: {there:?}");
        Ok(())
    }

    /// As the volume's storage does it: what is behind the device, then the device, which the kernel tells whoever listens.
    fn resize(&self, bytes: u64) -> Result<()> {
        File::options()
            .write(true)
            .open(&self.file)?
            .set_len(bytes)?;
        losetup(&["--set-capacity", &self.device.to_string_lossy()])?
            .context("have the loop device look at its file")?;
        Ok(())
    }

    fn taken(&self) -> Result<u64> {
        Ok(fs::metadata(&self.file)?.blocks() * 512)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Of a test that failed: one that did not has detached it.
        losetup(&["--detach", &self.device.to_string_lossy()]).ok();
    }
}

/// What it said; none when it failed.
fn losetup(arguments: &[&str]) -> Result<Option<String>> {
    let done = Command::new("losetup").args(arguments).output()?;
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    Ok(done.status.success().then_some(said))
}

fn device(host_path: &Path, container_path: &str, permissions: &str) -> Device {
    Device {
        host_path: host_path.to_string_lossy().into_owned(),
        container_path: container_path.to_owned(),
        permissions: permissions.to_owned(),
    }
}

fn with(daemon: &Daemon<'_>, name: &str, script: &str, devices: Vec<Device>) -> ContainerConfig {
    ContainerConfig {
        devices,
        ..daemon.script(name, script)
    }
}

fn written(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let disk = Loop::new(case, "disk")?;
    // As the kubelet has it for some volumes.
    let link = case.folder().join("link");
    symlink(&disk.device, &link)?;
    let devices = vec![
        device(&link, "/dev/xvda", "mrw"),
        device(&link, "/mnt/volume1", "mrw"),
    ];
    let script = "head -c 4194304 /dev/urandom >/data; dd if=/data of=/dev/xvda bs=65536 seek=16 conv=fsync 2>/dev/null; \
        [ -b /dev/xvda ] && [ -b /mnt/volume1 ] && stat -c %a /dev/xvda; blockdev --getsize64 /mnt/volume1; sha256sum </data";
    let (code, said) = finish(&daemon, &sandbox, with(&daemon, "main", script, devices))?;
    ensure!(code == 0, "{said}; log: {}", daemon.log());
    let mut lines = said.lines();
    let mode = fs::metadata(&disk.device)?.mode() & 0o777;
    ensure!(lines.next() == Some(&*format!("{mode:o}")), "{said}");
    ensure!(lines.next() == Some(&*(16 * MIB).to_string()), "{said}");
    // The device is what the container has written, for whoever reads the file behind it.
    let part = case.folder().join("part");
    let mut file = File::open(&disk.file)?;
    file.seek(SeekFrom::Start(MIB))?;
    let mut bytes = vec![0; 4 << 20];
    file.read_exact(&mut bytes)?;
    fs::write(&part, &bytes)?;
    let sum = Command::new("sha256sum").arg(&part).output()?;
    let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
    let (sum, _) = sum.split_once(' ').context("a sum")?;
    ensure!(
        lines.next().is_some_and(|line| line.starts_with(sum)),
        "{said} {sum}"
    );
    disk.detach()?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn read_only(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let disk = Loop::new(case, "disk")?;
    fs::write(
        &disk.file,
        [b"before\n".as_slice(), &vec![0; 16 << 20]].concat(),
    )?;
    let devices = vec![device(&disk.device, "/dev/xvda", "r")];
    let script = "head -c 7 /dev/xvda; blockdev --getro /dev/xvda; echo after | dd of=/dev/xvda conv=fsync,notrunc 2>/dev/null || echo refused";
    let said = finish(&daemon, &sandbox, with(&daemon, "main", script, devices))?;
    ensure!(said == (0, "before\n1\nrefused\n".to_owned()), "{said:?}");
    let mut start = [0; 7];
    File::open(&disk.file)?.read_exact(&mut start)?;
    ensure!(&start == b"before\n", "{start:?}");
    disk.detach()?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn discarded(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let disk = Loop::new(case, "disk")?;
    let devices = vec![device(&disk.device, "/dev/xvda", "mrw")];
    let id = run(&daemon, &sandbox, with(&daemon, "main", WAIT, devices))?;
    let fill = "dd if=/dev/urandom of=/dev/xvda bs=1048576 count=8 conv=fsync";
    ensure!(daemon.exec(&id, fill, 120)?.exit_code == 0);
    let full = disk.taken()?;
    ensure!(full >= 8 * MIB, "{full}");
    let discard = daemon.exec(&id, "blkdiscard -o 1048576 -l 6291456 /dev/xvda", 120)?;
    ensure!(discard.exit_code == 0, "{discard:?}");
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while disk.taken()? + 5 * MIB > full {
        ensure!(Instant::now() < deadline, "of {full}: {}", disk.taken()?);
        thread::park_timeout(LOOK_AGAIN);
    }
    daemon.remove_sandbox(&sandbox)?;
    disk.detach()
}

fn shared(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let disk = Loop::new(case, "disk")?;
    let devices = || vec![device(&disk.device, "/dev/xvda", "mrw")];
    let first = run(&daemon, &sandbox, with(&daemon, "first", WAIT, devices()))?;
    let write = "echo first | dd of=/dev/xvda conv=fsync,notrunc";
    ensure!(daemon.exec(&first, write, 120)?.exit_code == 0);
    daemon.restart()?;
    // One disk: the guest's page cache is the same, so nothing has to be on the node's device yet.
    let second = run(&daemon, &sandbox, with(&daemon, "second", WAIT, devices()))?;
    let numbers = "stat -c %t:%T /dev/xvda; head -c 6 /dev/xvda";
    let of_first = daemon.exec(&first, numbers, 120)?.stdout;
    let of_second = daemon.exec(&second, numbers, 120)?.stdout;
    ensure!(of_first == of_second, "{of_first:?} {of_second:?}");
    ensure!(of_second.ends_with(b"first\n"), "{of_second:?}");
    // The disk stays for the one that is left, and goes with it.
    daemon.stop(&first, 5)?;
    daemon.remove(&first)?;
    let still = daemon.exec(&second, write, 120)?;
    ensure!(still.exit_code == 0, "{still:?}");
    daemon.stop(&second, 5)?;
    disk.detach()?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn gone(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let disk = Loop::new(case, "disk")?;
    let devices = || vec![device(&disk.device, "/dev/xvda", "mrw")];
    // Its start fails.
    let config = ContainerConfig {
        command: vec!["/no/such/command".to_owned()],
        ..with(&daemon, "wrong", "", devices())
    };
    let wrong = daemon.create(&sandbox, config)?;
    ensure!(daemon.start_container(&wrong).is_err());
    daemon.remove(&wrong)?;
    // It is never started.
    let never = daemon.create(&sandbox, with(&daemon, "never", WAIT, devices()))?;
    daemon.remove(&never)?;
    // A device beside it can't be had.
    let file = case.folder().join("empty");
    File::create(&file)?;
    let empty = losetup(&["--find", "--show", &file.to_string_lossy()])?;
    let empty = PathBuf::from(empty.context("make a loop device")?);
    let mut both = devices();
    both.push(device(&empty, "/dev/xvdb", "mrw"));
    let created = daemon.create(&sandbox, with(&daemon, "both", WAIT, both));
    losetup(&["--detach", &empty.to_string_lossy()])?;
    expect_failure(created, Code::Internal, &empty.to_string_lossy())?;
    disk.detach()?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn missing(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let check = |host_path: &str, permissions: &str, code: Code, words: &str| {
        let devices = vec![device(Path::new(host_path), "/dev/xvda", permissions)];
        let created = daemon.create(&sandbox, with(&daemon, "main", "true", devices));
        expect_failure(created, code, words)
    };
    let nothing = "the device \"/dev/nothing\" for \"/dev/xvda\" is missing on the node";
    check("/dev/nothing", "mrw", Code::InvalidArgument, nothing)?;
    check(
        "/dev/kvm",
        "rw",
        Code::Unimplemented,
        "\"/dev/kvm\" of the host is not in the guest",
    )?;
    let disk = Loop::new(case, "disk")?;
    let path = disk.device.to_string_lossy().into_owned();
    check(&path, "x", Code::InvalidArgument, "r, w and m are known")?;
    disk.detach()?;
    ensure!(daemon.containers()?.is_empty(), "nothing was made");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn grows(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let disk = Loop::new(case, "disk")?;
    let devices = vec![
        device(&disk.device, "/dev/xvda", "mrw"),
        device(&disk.device, "/dev/xvdb", "r"),
    ];
    let id = run(&daemon, &sandbox, with(&daemon, "main", WAIT, devices))?;
    let sizes = "blockdev --getsize64 /dev/xvda; blockdev --getsize64 /dev/xvdb";
    let have = |daemon: &Daemon<'_>, mib: u64| -> Result<()> {
        let expect = format!("{0}\n{0}\n", mib * MIB);
        let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
        loop {
            let said = daemon.exec(&id, sizes, 120)?;
            if said.stdout == expect.as_bytes() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{said:?}; log: {}", daemon.log());
        }
    };
    have(&daemon, 16)?;
    disk.resize(32 * MIB)?;
    have(&daemon, 32)?;
    // What was not there before takes data, and gives it back from the node's device.
    let write = "echo behind | dd of=/dev/xvda bs=512 seek=61440 conv=fsync,notrunc";
    ensure!(daemon.exec(&id, write, 120)?.exit_code == 0);
    let read = "dd if=/dev/xvdb bs=512 skip=61440 count=1 2>/dev/null | head -c 7";
    let said = daemon.exec(&id, read, 120)?;
    ensure!(said.stdout == b"behind\n", "{said:?}");
    // While nobody listens.
    daemon.kill()?;
    disk.resize(48 * MIB)?;
    daemon.resume()?;
    have(&daemon, 48)?;
    disk.resize(8 * MIB)?;
    let deadline = Instant::now() + case.patience.stretch(deadlines::STEP);
    while !daemon
        .log()
        .contains("has shrunk from 50331648 to 8388608 bytes")
    {
        ensure!(Instant::now() < deadline, "{}", daemon.log());
        thread::park_timeout(LOOK_AGAIN);
    }
    have(&daemon, 48)?;
    daemon.remove_sandbox(&sandbox)?;
    disk.detach()
}
