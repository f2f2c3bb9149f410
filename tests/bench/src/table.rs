//! The tables that `make bench` prints: a row per figure, ours, the other's, and the ratio. Main function: [`render`].

mod storage;

use std::{fmt::Write, fs, path::Path};

use anyhow::Result;

use crate::{
    boot::Sample,
    dist::Dist,
    place::{Boots, Found},
    pods, qemu,
};

/// Programs of ours whose sizes are printed.
const PROGRAMS: [&str; 3] = ["cofferdam-vmm", "cofferdam-agent", "cofferdam"];

/// Of what was measured.
pub(crate) fn render(dist: &Dist, found: &Found) -> Result<String> {
    let mut text = String::new();
    if let Some(boots) = &found.boots {
        boot_rows(&mut text, dist, boots)?;
    }
    if let Some(pods) = &found.pods {
        pod_rows(&mut text, pods)?;
    }
    if let Some(storage) = &found.storage {
        storage::render(&mut text, storage)?;
    }
    Ok(text)
}

fn boot_rows(text: &mut String, dist: &Dist, found: &Boots) -> Result<()> {
    let (ours, qemu) = (&found.plain.ours, &found.plain.qemu);
    let (counted, counted_qemu) = (&found.counted.ours, &found.counted.qemu);
    text.push_str(
        "One boot, 1 processor, 256 MiB, the same kernel and guest image, until the agent answers.\n\
         QEMU: Debian's package, machine microvm with PCIe, vhost-vsock and virtio-rng, no jail.\n\
         Ours: virtio-rng, user-space vsock, jail and filters on. A ratio over 1.00 is a row that we lose.\n\n",
    );
    writeln!(
        text,
        "{:<48}{:>14}{:>14}{:>8}",
        "", "cofferdam", "qemu microvm", "ratio"
    )?;
    let mut row = |name: &str, ours: Option<u64>, theirs: Option<u64>| {
        let shown =
            |figure: Option<u64>| figure.map_or("-".to_owned(), |figure| figure.to_string());
        writeln!(
            text,
            "{name:<48}{:>14}{:>14}{:>8}",
            shown(ours),
            shown(theirs),
            ratio(ours, theirs)
        )
    };
    let pick = |figure: fn(&Sample) -> u64| (Some(figure(ours)), Some(figure(qemu)));
    row(
        "system calls, exec to first KVM_RUN",
        ours.calls_to_first_run,
        qemu.calls_to_first_run,
    )?;
    let (a, b) = pick(|sample| sample.kvm_exits);
    row("KVM exits to agent ready", a, b)?;
    let (a, b) = pick(|sample| sample.user_exits);
    row("  of which port or MMIO", a, b)?;
    row(
        "instructions to agent ready, monitor and guest",
        Some(counted.processor_ns),
        Some(counted_qemu.processor_ns),
    )?;
    let (a, b) = pick(|sample| sample.anonymous_kib);
    row("monitor's anonymous memory, KiB", a, b)?;
    let (a, b) = pick(|sample| sample.guest_kib);
    row("guest's memory that was touched, KiB", a, b)?;
    let (a, b) = pick(|sample| sample.threads);
    row("monitor's threads", a, b)?;
    let theirs = qemu_bytes();
    for program in PROGRAMS {
        let against = (program == "cofferdam-vmm").then_some(theirs).flatten();
        row(
            &format!("{program}, static, bytes"),
            Some(dist.size(program)?),
            against,
        )?;
    }
    Ok(())
}

/// Name and figure.
type Row = (&'static str, fn(&pods::Sample) -> u64);

const POD_ROWS: [Row; 6] = [
    ("RunPodSandbox until it is ready, us", |sample| {
        sample.sandbox_us
    }),
    ("CreateContainer and StartContainer, us", |sample| {
        sample.container_us
    }),
    ("Exec of `true`, streamed, us", |sample| sample.exec_us),
    ("Exec of `cat`, 16 MiB there and back, us", |sample| {
        sample.transfer_us
    }),
    ("StopPodSandbox and RemovePodSandbox, us", |sample| {
        sample.removal_us
    }),
    ("memory of one more idle pod (PSS), KiB", |sample| {
        sample.idle_pod_kib
    }),
];

/// Pods beside containerd's.
fn pod_rows(text: &mut String, found: &pods::Measured) -> Result<()> {
    let (ours, theirs) = (&found.ours, &found.containerd);
    text.push_str(
        "\nPods through the same CRI calls, one after the other, medians. containerd and runc: Debian's packages, which isolate nothing\n\
         by hardware. Microseconds of an emulated host: only the ratios mean something.\n\n",
    );
    writeln!(
        text,
        "{:<48}{:>14}{:>14}{:>8}",
        "", "cofferdam", "containerd", "ratio"
    )?;
    for (name, figure) in POD_ROWS {
        let (a, b) = (figure(ours), figure(theirs));
        writeln!(
            text,
            "{name:<48}{a:>14}{b:>14}{:>8}",
            ratio(Some(a), Some(b))
        )?;
    }
    for (stage, took) in &ours.stages {
        writeln!(
            text,
            "{:<48}{took:>14}",
            format!("  of RunPodSandbox: {stage}")
        )?;
    }
    Ok(())
}

fn ratio(ours: Option<u64>, theirs: Option<u64>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs > 0 => {
            let hundredths = ours.saturating_mul(100) / theirs;
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
        _ => "-".to_owned(),
    }
}

/// QEMU's program file, without the libraries that it loads.
fn qemu_bytes() -> Option<u64> {
    let path = Path::new("/usr/bin").join(qemu::PROGRAM);
    Some(fs::metadata(path).ok()?.len())
}

#[cfg(test)]
mod tests;
