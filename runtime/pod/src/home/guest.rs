//! A VM as what a pod lives in: its launch, its NICs, its disks. Main functions: [`launch`], [`add_nics`], [`add_scratch`], [`add_disks`]. Below: `vm-client`.

use std::{fmt::Write, fs::File, path::Path};

use model::{ContainerId, HugePages, PodId};
use vm_client::{
    DiskId, DiskPlan, LaunchPlan, Monitor, NicId, NicPlan, NicQueuePlan, PciAddress, Processors,
    Running, SegmentPlan,
};

use super::{ImagePlace, Places, vfio};
use crate::{
    Deadlines,
    error::PodError,
    plan::{GuestPlan, Lifetime, Nic, RootSegment},
    scratch::{Scratch, ScratchPlan},
};

/// The console's file in the run folder.
const CONSOLE_LOG: &str = "console.log";

/// Serial number of the scratch disk.
const SCRATCH_DISK: &str = "scratch";

/// Launches the VM, in the cgroup whose `cgroup.procs` is open.
pub(crate) async fn launch(
    plan: GuestPlan,
    (pod, lifetime): (&PodId, &Lifetime),
    (folder, cgroup): (&Path, Option<File>),
    deadlines: Deadlines,
) -> Result<(Monitor, Running), PodError> {
    let (uid, gid) = plan.monitor_identity;
    let console = plan
        .console_log
        .then(|| File::create_new(folder.join(CONSOLE_LOG)))
        .transpose()
        .map_err(PodError::Console)?;
    let launch = LaunchPlan {
        program: plan.monitor,
        run_folder: folder.to_owned(),
        cgroup,
        name: pod.to_string(),
        identity: vm_client::Identity { uid, gid },
        lifetime: match lifetime {
            Lifetime::WithLauncher => vm_client::Lifetime::WithLauncher,
            Lifetime::UntilRemoved { .. } => vm_client::Lifetime::UntilStopped,
        },
        processors: Processors {
            boot: plan.size.processors,
            max: plan.size.processors,
        },
        memory_bytes: plan.size.memory_bytes(),
        command_line: command_line(plan.apparmor, &plan.huge_pages, &plan.kernel_arguments),
        kernel: plan.kernel,
        guest_image: Some(plan.guest_image),
        console,
        disks: Vec::new(),
        nics: Vec::new(),
        vfio: vfio::open(&plan.functions)?,
        later_functions: plan.later_functions,
        deadlines: deadlines.monitor,
    };
    let launched = Monitor::launch(launch).await;
    launched.map_err(|error| PodError::Launch(Box::new(error)))
}

/// What is configured comes last, for the last one of a word counts. Without AppArmor the kernel has no use for the audit log, whose thread and sockets
/// it makes otherwise; with it the log says what a profile has denied.
fn command_line(apparmor: bool, huge_pages: &[HugePages], configured: &str) -> String {
    let security = match apparmor {
        true => "lsm=apparmor",
        false => "audit=0",
    };
    let mut line = security.to_owned();
    for pool in huge_pages {
        let pages = pool.bytes.checked_div(pool.page_bytes).unwrap_or(0);
        // In bytes, for which the kernel has no letter. Into a string: it can't fail.
        write!(line, " hugepagesz={} hugepages={pages}", pool.page_bytes).ok();
    }
    format!("{line} {configured}").trim_end().to_owned()
}

/// Puts the NICs on the bus.
pub(crate) async fn add_nics(monitor: &Monitor, nics: Vec<Nic>) -> Result<(), PodError> {
    for nic in nics {
        let name = nic.name.clone();
        let plan = nic_plan(nic)?;
        let added = monitor.add_nic(plan).await;
        added.map_err(|source| PodError::Nic { name, source })?;
    }
    Ok(())
}

fn nic_plan(nic: Nic) -> Result<NicPlan, PodError> {
    let wrong = |what: String| PodError::NicValue {
        name: nic.name.clone(),
        what,
    };
    let id = NicId::try_from(nic.name.clone()).map_err(|error| wrong(error.to_string()))?;
    let mac =
        vm_client::Mac::try_from(nic.mac.to_string()).map_err(|error| wrong(error.to_string()))?;
    let mtu = u16::try_from(nic.mtu)
        .map_err(|_too_large| wrong(format!("an MTU of {}: 65535 is the most", nic.mtu)))?;
    let queues = nic
        .queues
        .into_iter()
        .map(|queue| NicQueuePlan {
            tap: queue.tap,
            vhost: queue.vhost,
        })
        .collect();
    Ok(NicPlan {
        id,
        mac,
        mtu,
        queues,
    })
}

/// Makes the scratch disk and puts it on the bus. Gives its address.
pub(crate) async fn add_scratch(
    monitor: &Monitor,
    scratch: &Scratch,
    plan: &ScratchPlan,
) -> Result<String, PodError> {
    let (file, length) = scratch.make(plan).await.map_err(PodError::Scratch)?;
    let id = DiskId::try_from(SCRATCH_DISK.to_owned());
    let disk = DiskPlan {
        id: id.map_err(|_invalid| PodError::DiskName {
            disk: SCRATCH_DISK.to_owned(),
        })?,
        segments: vec![SegmentPlan {
            file,
            offset: 0,
            length,
        }],
        read_only: false,
    };
    let added = monitor.add_disk(disk).await;
    let address = added.map_err(PodError::ScratchDisk)?;
    Ok(address.to_string())
}

/// Puts a container's root and the images that it mounts on the VM's bus: all of them, or none.
pub(crate) async fn add_disks(
    monitor: &Monitor,
    container: &ContainerId,
    root: Vec<RootSegment>,
    images: Vec<Vec<RootSegment>>,
) -> Result<Places, PodError> {
    let mut added = Vec::new();
    let result = async {
        let disk = disk_id(container, container.as_str())?;
        let root = add_disk(monitor, disk, root).await?;
        added.push(ImagePlace::Disk(root));
        for (number, segments) in images.into_iter().enumerate() {
            // They are told apart by their beginning, in which no container's id has a point.
            let name = format!("{number}.{container}");
            let disk = disk_id(container, &name)?;
            added.push(ImagePlace::Disk(add_disk(monitor, disk, segments).await?));
        }
        Ok(ImagePlace::Disk(root))
    };
    match result.await {
        Ok(root) => {
            let images = added.into_iter().skip(1).collect();
            let disks = Vec::new();
            Ok(Places {
                root,
                images,
                disks,
            })
        }
        Err(error) => {
            remove_disks(monitor, added).await;
            Err(error)
        }
    }
}

async fn add_disk(
    monitor: &Monitor,
    id: DiskId,
    segments: Vec<RootSegment>,
) -> Result<PciAddress, PodError> {
    let segment = |segment: RootSegment| SegmentPlan {
        file: segment.file,
        offset: 0,
        length: segment.length_bytes,
    };
    let plan = DiskPlan {
        id,
        segments: segments.into_iter().map(segment).collect(),
        read_only: true,
    };
    monitor.add_disk(plan).await.map_err(PodError::Disk)
}

/// The disk's name: as much of it as a serial number holds (virtio 1.3, section 5.2.6.1).
fn disk_id(container: &ContainerId, id: &str) -> Result<DiskId, PodError> {
    const BYTES: usize = 20;
    let name = id.get(..BYTES).unwrap_or(id).trim_end_matches('-');
    DiskId::try_from(name.to_owned()).map_err(|_invalid| PodError::DiskName {
        disk: container.to_string(),
    })
}

pub(crate) async fn remove_disks(monitor: &Monitor, places: Vec<ImagePlace>) {
    for place in places {
        let ImagePlace::Disk(disk) = place else {
            continue;
        };
        if let Err(error) = monitor.remove_device(disk).await {
            tracing::warn!(%disk, error = &error as &dyn std::error::Error, "a disk stays on the bus");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_words_come_after_our_own() {
        assert_eq!(command_line(false, &[], ""), "audit=0");
        assert_eq!(
            command_line(true, &[], "apparmor=0 a=b"),
            "lsm=apparmor apparmor=0 a=b"
        );
        let pool = HugePages {
            page_bytes: 2 << 20,
            bytes: 8 << 20,
        };
        assert_eq!(
            command_line(false, &[pool], "a=b"),
            "audit=0 hugepagesz=2097152 hugepages=4 a=b"
        );
    }
}
