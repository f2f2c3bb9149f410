//! MountVolume: which kind of volume it is to be. Main function: [`mount_volume`].

use std::time::Duration;

use agent::agent as wire;

use super::{Service, to_its_end};
use crate::{
    deadlines::MAX_DEVICE_DEADLINE,
    fault::Fault,
    ids::VolumeId,
    volumes::{DiskVolumePlan, HugePagesPlan, SocketPlan},
};

pub(super) async fn mount_volume(
    service: &Service,
    request: wire::MountVolumeRequest,
) -> Result<(), Fault> {
    let id = VolumeId::parse(&request.volume_id)?;
    let deadline = Duration::from_millis(request.timeout_ms).min(MAX_DEVICE_DEADLINE);
    let volumes = service.volumes.clone();
    if !request.files.is_empty() {
        let files = service.image_files(&request.files)?;
        return to_its_end(async move { volumes.mount_files(id, files).await }).await;
    }
    if let Some(socket) = request.socket.as_ref() {
        let plan = SocketPlan::parse(socket)?;
        return to_its_end(async move { volumes.listen(id, plan).await }).await;
    }
    if let Some(pages) = request.huge_pages.as_ref() {
        in_guest(service, "huge pages")?;
        let plan = HugePagesPlan::parse(pages)?;
        return to_its_end(async move { volumes.mount_huge_pages(id, plan).await }).await;
    }
    let address = request.pci_address.parse()?;
    if let Some(disk) = request.disk.as_ref() {
        in_guest(service, "disks of volumes")?;
        let plan = DiskVolumePlan::parse(disk)?;
        let mounted = async move { volumes.mount_disk(id, address, plan, deadline).await };
        return to_its_end(mounted).await;
    }
    let share = request.share;
    to_its_end(async move { volumes.mount(id, address, share, deadline).await }).await
}

fn in_guest(service: &Service, what: &str) -> Result<(), Fault> {
    match service.setting.guest {
        true => Ok(()),
        false => Err(Fault::invalid(format!(
            "{what} are for the agent of a guest only"
        ))),
    }
}
