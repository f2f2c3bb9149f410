//! QEMU's microvm machine with the same kernel, guest image and size, as lean as its documentation says: no default devices, PCIe for
//! a vhost-vsock device and a random number device, a serial console that is as quiet as ours (without one, init has no /dev/console). Main function: [`boot()`].

use std::{
    fs,
    os::fd::AsRawFd,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{
    boot::{self, GUEST_MIB, Sample},
    deadlines,
    dist::Dist,
};

pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// The guest's context id on this host.
const GUEST_CID: u32 = 77;

/// The agent's port, as its contract says.
const AGENT_PORT: u32 = 1024;

/// Ends QEMU, or what stands beside it, whatever happens.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Under strace QEMU is its only child, and would outlive it.
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            pid.and_then(|pid| kill_process(pid, Signal::KILL).ok());
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Boots, samples when the agent can be connected to, and ends it. With `trace`, under strace, which writes there.
pub(crate) async fn boot(dist: &Dist, trace: Option<&Path>) -> Result<Sample> {
    let mut command = match trace {
        Some(output) => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o"]).arg(output).arg(PROGRAM);
            strace
        }
        None => Command::new(PROGRAM),
    };
    lean(&mut command, dist, &dist.guest_image(), "", "");
    command
        .args(["-device", &format!("vhost-vsock-pci,guest-cid={GUEST_CID}")])
        .args(["-device", "virtio-rng-pci"]);
    let mut running = Running(command.spawn().context("start QEMU: is it installed?")?);
    let until = Instant::now() + deadlines::BOOT;
    while !agent_answers()? {
        if let Some(status) = running.0.try_wait()? {
            bail!("QEMU ended by itself: {status}");
        }
        if Instant::now() > until {
            bail!("no agent answered in {} s", deadlines::BOOT.as_secs());
        }
        sleep(deadlines::LOOK).await;
    }
    if trace.is_some() {
        Ok(Sample::default())
    } else {
        boot::sample(running.0.id())
    }
}

/// What every one of its machines has. `machine` and `arguments` are added to the machine's properties and to the kernel's command line.
pub(crate) fn lean(
    command: &mut Command,
    dist: &Dist,
    guest_image: &Path,
    machine: &str,
    arguments: &str,
) {
    command
        .arg("-M")
        .arg(format!(
            "microvm,pcie=on,acpi=on,pit=off,pic=off,rtc=off,isa-serial=on{machine}"
        ))
        .args(["-enable-kvm", "-cpu", "host", "-smp", "1"])
        .arg("-m")
        .arg(GUEST_MIB.to_string())
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-serial", "null"])
        .arg("-kernel")
        .arg(dist.kernel())
        .arg("-initrd")
        .arg(guest_image)
        .arg("-append")
        .arg(format!(
            "console=ttyS0 loglevel=1 panic=-1 8250.nr_uarts=1{arguments}"
        ))
        .stdin(Stdio::null());
}

fn agent_answers() -> Result<bool> {
    let socket = socket(
        AddressFamily::Vsock,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    let socket = socket.context("make a vsock socket: is vhost_vsock loaded?")?;
    Ok(connect(socket.as_raw_fd(), &VsockAddr::new(GUEST_CID, AGENT_PORT)).is_ok())
}
