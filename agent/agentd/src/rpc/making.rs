//! StartPod, once its request has been checked: what makes the machine into a pod. Main function: [`make_pod`].

use std::sync::Arc;

use agent::agent as wire;
use container::{IdMappings, NamespacesPlan, PodNamespaces};

use super::started;
use crate::{
    arguments::Setting,
    containers::Owner,
    deadlines::DEVICE_DEADLINE,
    devices::{self, PciAddress},
    fault::Fault,
    pod,
    pod_files::PodFiles,
    scratch::Scratch,
    start::{self, ContainerPlan},
};

pub(super) async fn mount_scratch(scratch: Scratch, address: PciAddress) -> Result<(), Fault> {
    let named = format!("the scratch disk at {address}");
    let device = devices::add_disk(address, &named, DEVICE_DEADLINE).await?;
    start::blocking(move || {
        let mounted = scratch.mount(&device);
        mounted.map_err(|error| Fault::internal(&error))
    })
    .await
}

/// A pod that is being made.
pub(super) struct Making {
    pub(super) setting: Arc<Setting>,
    pub(super) request: wire::StartPodRequest,
    pub(super) files: PodFiles,
    pub(super) namespaces: Option<NamespacesPlan>,
}

impl Making {
    /// Blocks.
    fn carry_out(self) -> Result<Option<PodNamespaces>, Fault> {
        pod::apply(&self.request, &self.setting)?;
        let user = self.namespaces.as_ref().and_then(|plan| plan.user.as_ref());
        let root = user.map(IdMappings::root);
        let kept = self.files.keep(&self.request, root);
        kept.map_err(|error| Fault::internal(&error))?;
        if let (Some(root), true) = (root, self.setting.guest) {
            pod::give_to(root)?;
        }
        let make = |plan| PodNamespaces::start(start::THIS_PROGRAM.as_ref(), plan);
        let made = self.namespaces.map(make).transpose();
        made.map_err(|failure| {
            let fault = Fault::from(failure);
            let message = format!("make the pod's namespaces: {}", fault.message);
            Fault { message, ..fault }
        })
    }
}

pub(super) async fn make_pod(
    owner: &Owner,
    making: Making,
    plan: Option<ContainerPlan>,
) -> Result<wire::StartPodResponse, Fault> {
    let namespaces = start::blocking(move || making.carry_out()).await?;
    owner.keep_namespaces(namespaces).await;
    let mut response = wire::StartPodResponse::default();
    if let Some(plan) = plan {
        let process = owner.start_container(plan).await?;
        response.container = Some(started(process)).into();
    }
    Ok(response)
}
