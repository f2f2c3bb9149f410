//! Functions of the node that a pod in a VM is given: named by kubelet or by an annotation, found, allowed by the configuration, and fit for
//! a VM. Main functions: [`functions`], and [`hot_plug`] for a VM that runs. Above: RunPodSandbox, CreateContainer. Below: `devices`, which finds and judges.

#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;

use cri::v1::PodSandboxConfig;
use devices::{
    Finder, Function, Host, Name, PciAddress, Wanted,
    cdi::{self, Cdi},
    pod_resources::{self, PodName},
    preflight::{self, Preflight, Space},
};
use model::{VmSize, chain};
use pod::HostFunction;
use tonic::Status;

use crate::{
    failure,
    node::Node,
    settings::{VfioDevices, VfioSettings},
    work,
};

/// Names of devices, with commas between them; for clients other than kubelet.
const ANNOTATION: &str = "cofferdam.vfio";

/// The functions that this pod's VM is given; none is usual. Where the configuration names none, kubelet is not asked.
pub(crate) async fn functions(
    node: &Node,
    config: &PodSandboxConfig,
    size: VmSize,
) -> Result<Vec<HostFunction>, Status> {
    let settings = &node.settings.vfio;
    let mut wanted = annotated(config, settings)?;
    if settings.devices != VfioDevices::Listed(Vec::new()) {
        let metadata = config.metadata.clone().unwrap_or_default();
        let pod = PodName {
            namespace: metadata.namespace,
            name: metadata.name,
        };
        let deadlines = devices::Deadlines::scaled(node.settings.deadline_scale);
        let asked = pod_resources::wanted(&settings.kubelet_socket, &pod, deadlines).await;
        let asked = asked.map_err(|error| failure::devices(error.fault(), chain(&error)))?;
        wanted.extend(asked);
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let settings = settings.clone();
    work::blocking(move || {
        let folders = cdi::FOLDERS.map(PathBuf::from);
        choose(
            (&Host::new("/"), &Cdi::load(&folders)),
            &settings,
            &wanted,
            size,
        )
    })
    .await?
}

/// What the annotation names. One that is not allowed is refused: without its device the pod would not be what was asked for.
fn annotated(config: &PodSandboxConfig, settings: &VfioSettings) -> Result<Vec<Wanted>, Status> {
    let Some(names) = config.annotations.get(ANNOTATION) else {
        return Ok(Vec::new());
    };
    if !settings.annotation {
        return Err(Status::permission_denied(format!(
            "the annotation {ANNOTATION} asks for {names}: it is not allowed to (vfio.annotation in the configuration)"
        )));
    }
    let names = names.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    let wanted = names.map(|name| Wanted {
        container: String::new(),
        name: Name::Annotation(name.to_owned()),
    });
    Ok(wanted.collect())
}

/// Finds them, and looks whether they may be given and can be: each, and all of them together.
fn choose(
    (host, cdi): (&Host, &Cdi),
    settings: &VfioSettings,
    wanted: &[Wanted],
    size: VmSize,
) -> Result<Vec<HostFunction>, Status> {
    let finder = Finder {
        host,
        cdi,
        resources: &settings.resources,
    };
    let found = finder.find(wanted);
    let found = found.map_err(|error| failure::devices(error.fault(), chain(&error)))?;
    for ignored in &found.ignored {
        tracing::debug!(
            name = ignored.name,
            reason = ignored.reason,
            "no device of VFIO's"
        );
    }
    let unread = |error: devices::SysfsError| Status::internal(chain(&error));
    let phys_bits = host.phys_bits().map_err(unread)?;
    let space = Space::of_vm(size.memory_bytes(), phys_bits);
    let mut functions = Vec::new();
    for found in &found.functions {
        let function = host.function(found.address).map_err(unread)?;
        check(&function, settings, &space)?;
        functions.push(function);
    }
    let all: Vec<&Function> = functions.iter().collect();
    let room = preflight::room(&all, &space);
    room.map_err(|error| Status::failed_precondition(chain(&error)))?;
    Ok(functions.iter().map(given).collect())
}

/// The IOMMU group of a function that a running VM is to be given, or why none may have it. Whether there is room for it its bus says.
pub(crate) fn hot_plug(
    host: &Host,
    address: PciAddress,
    settings: &VfioSettings,
) -> Result<u32, String> {
    if settings.hot_plug == 0 {
        return Err("VMs are given functions when they start, and none later (vfio.hot_plug in the configuration)".to_owned());
    }
    let unread = |error: devices::SysfsError| chain(&error);
    let space = Space::of_vm(0, host.phys_bits().map_err(unread)?);
    let function = host.function(address).map_err(unread)?;
    check(&function, settings, &space).map_err(|status| status.message().to_owned())?;
    given(&function).group.ok_or_else(|| {
        format!("{address} has no node of its IOMMU group (CONFIG_VFIO_GROUP), by which a running VM is given a function")
    })
}

fn check(function: &Function, settings: &VfioSettings, space: &Space) -> Result<(), Status> {
    let address = function.address;
    let allowed = match &settings.devices {
        VfioDevices::All => true,
        VfioDevices::Listed(listed) => listed.contains(&address),
    };
    if !allowed {
        return Err(Status::permission_denied(format!(
            "the function {address} of the node is not for pods: vfio.devices in the configuration does not name it"
        )));
    }
    let preflight = Preflight::of(function, space);
    let Some(problem) = preflight.problems.first() else {
        return Ok(());
    };
    let text = format!("{}: {}", chain(problem), problem.advice());
    Err(failure::devices(problem.fault(), text))
}

/// With the nodes that it has; which of them its VM is given it by, the pod decides, for all of its functions must be given alike.
fn given(function: &Function) -> HostFunction {
    let group = function.group.as_ref();
    let group = group.filter(|_group| function.group_node);
    let cdev = function.cdev.as_ref();
    HostFunction {
        address: function.address.to_string(),
        group: group.map(|group| group.number),
        cdev: cdev.filter(|_cdev| function.cdev_node).cloned(),
    }
}
