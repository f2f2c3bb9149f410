//! The command line of QEMU: the machine that a test host is. Pure: values in, arguments out.

use std::path::{Path, PathBuf};

use crate::control;

pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// An AMD model, for its virtualisation (SVM with nested paging) is what TCG emulates. Without the large register sets
/// there is less to save at each switch, and QEMU's emulation of them is slow. Without fast string instructions kernels copy eight bytes
/// at a time: QEMU carries `rep movsb` out byte by byte.
const CPU: &str = "EPYC-Milan,+svm,-xsave,-avx,-avx2,-pku,-erms,-fsrm";

/// loglevel=5: warnings and worse reach the log that a dead host leaves. reboot=t, panic=-1: a panic ends QEMU at once.
/// mitigations=off: nobody attacks a test host from inside, and they cost most under emulation. tsc=reliable: the
/// watchdog of clocks takes the emulator's pauses for a broken TSC. no_timer_check: at boot the kernel counts timer ticks in a
/// short loop, and panics when a starved emulator delivers too few. intel_iommu=on: VFIO gets real domains.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 loglevel=5 reboot=t panic=-1 mitigations=off tsc=reliable \
     no_timer_check intel_iommu=on";

/// What differs between one host and the next.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) modules: PathBuf,
    pub(crate) control: PathBuf,
    pub(crate) results: Option<PathBuf>,
    /// What the disks that VFIO may have hold: a virtio disk, and NVMe disks.
    pub(crate) spare: PathBuf,
    pub(crate) nvme: Vec<PathBuf>,
    /// Where the kernel's log goes.
    pub(crate) console: PathBuf,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) interactive: bool,
    pub(crate) instruction_clock: bool,
}

pub(crate) fn arguments(machine: &Machine) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);

    add("-machine", "q35".into());
    if machine.instruction_clock {
        // shift=0: an instruction takes a nanosecond. sleep=off: nobody waits in an idle host.
        add("-accel", "tcg,thread=single,tb-size=512".into());
        add("-icount", "shift=0,sleep=off".into());
    } else {
        add("-accel", "tcg,thread=multi,tb-size=512".into());
    }
    add("-cpu", CPU.into());
    add("-m", machine.memory_mib.to_string());
    add("-smp", machine.cpus.to_string());
    add("-kernel", machine.kernel.to_string_lossy().into_owned());
    add("-initrd", machine.initramfs.to_string_lossy().into_owned());
    add("-append", KERNEL_ARGUMENTS.into());
    add("-display", "none".into());
    add("-monitor", "none".into());
    add_spares(machine, &mut add);
    add(
        "-chardev",
        format!("file,id=log,path={}", escaped(&machine.console)),
    );
    add("-serial", "chardev:log".into());
    // signal=off: keys that are signals go to the command, not to QEMU.
    add("-chardev", "stdio,id=command,signal=off".into());
    add("-device", "virtio-serial-pci".into());
    // A console port is a terminal, but QEMU throws away what its reader is too slow for (hw/char/virtio-console.c);
    // a serial port is a plain stream, and its writer waits.
    let port = match machine.interactive {
        true => "virtconsole,chardev=command".to_owned(),
        false => format!(
            "virtserialport,chardev=command,nr=1,name={}",
            control::OUTPUT_PORT
        ),
    };
    add("-device", port);
    // Several file systems under one root: QEMU keeps their inode numbers apart.
    let read_only = "security_model=none,multidevs=remap,readonly=on";
    let mut share = |tag: &str, path: &Path, how: &str| {
        add(
            "-fsdev",
            format!("local,id={tag},path={},{how}", escaped(path)),
        );
        add(
            "-device",
            format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
        );
    };
    share(control::ROOT_TAG, Path::new("/"), read_only);
    share(control::MODULES_TAG, &machine.modules, read_only);
    share(
        control::CONTROL_TAG,
        &machine.control,
        "security_model=none",
    );
    if let Some(results) = &machine.results {
        share(control::RESULTS_TAG, results, "security_model=none");
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    arguments
}

/// Devices that no driver of the host's takes by itself, for VFIO. Their DMA goes through an IOMMU, which has to come before them. As
/// endpoints of PCI Express the disks can be reset, and behind ports of their own they are alone in their IOMMU groups. A guest of ours has
/// the drivers.
fn add_spares(machine: &Machine, add: &mut impl FnMut(&str, String)) {
    add("-device", "intel-iommu,intremap=on,caching-mode=on".into());
    let mut disk = |name: &str, chassis: usize, file: &Path, device: &str| {
        let file = escaped(file);
        add(
            "-drive",
            format!("if=none,id={name},format=raw,file={file}"),
        );
        add(
            "-device",
            format!("pcie-root-port,id={name}-port,chassis={chassis}"),
        );
        add(
            "-device",
            format!("{device},drive={name},bus={name}-port,serial={name}"),
        );
    };
    let virtio = "virtio-blk-pci,disable-legacy=on,iommu_platform=on";
    disk("spare", 1, &machine.spare, virtio);
    for (number, file) in machine.nvme.iter().enumerate() {
        disk(&format!("nvme-{number}"), 2 + number, file, "nvme");
    }
    // A device for learners (docs/specs/edu.txt of QEMU): registers, an interrupt by MSI, and DMA to wherever it is told.
    add("-device", "edu,dma_mask=0xffffffffffffffff".into());
}

/// A comma ends a value in QEMU's options, and a doubled one does not.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_machine_name_its_parts() {
        let machine = Machine {
            kernel: "/c/vmlinux".into(),
            initramfs: "/c/init.cpio".into(),
            modules: "/c/lib/modules".into(),
            control: "/c/control".into(),
            results: Some("/a,b".into()),
            spare: "/c/spare.img".into(),
            nvme: vec!["/c/nvme-0.img".into()],
            console: "/c/console.log".into(),
            memory_mib: 2048,
            cpus: 1,
            interactive: false,
            instruction_clock: false,
        };
        let arguments = arguments(&machine).join(" ");
        for part in [
            "-m 2048 -smp 1",
            "-kernel /c/vmlinux -initrd /c/init.cpio",
            "path=/c/console.log",
            "id=spare,format=raw,file=/c/spare.img",
            "id=nvme-0,format=raw,file=/c/nvme-0.img",
            "-device nvme,drive=nvme-0,bus=nvme-0-port",
            "-device edu",
            "id=root,path=/,security_model=none,multidevs=remap,readonly=on",
            "id=results,path=/a,,b,security_model=none",
            "mount_tag=control",
            "virtserialport,chardev=command",
        ] {
            assert!(arguments.contains(part), "{part} in {arguments}");
        }
    }
}
