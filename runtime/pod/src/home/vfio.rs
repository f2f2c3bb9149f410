//! Functions of the host for a VM that is about to be launched: VFIO's nodes, opened here, for the monitor opens none. Main function:
//! [`open`]; [`open_function`] is for a VM that runs. Above: `guest`. Below: `vm-client`.
//!
//! By iommufd where the host has it and every function has a cdev; else by type 1, where every function has a group. One for a VM that runs goes
//! by type 1.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

use vm_client::{FunctionPlan, PciAddress, VfioInterface, VfioPlan};

use crate::{error::PodError, plan::HostFunction};

const FOLDER: &str = "/dev";
/// The container of type 1, and where there is a node for each IOMMU group.
const CONTAINER: &str = "vfio/vfio";
const GROUPS: &str = "vfio";
/// iommufd, and where there is a node for each function.
const IOMMUFD: &str = "iommu";
const CDEVS: &str = "vfio/devices";

/// Opens what the functions need. While a VM has a function, the next one is refused: a group is opened once, and a cdev bound once.
pub(super) fn open(functions: &[HostFunction]) -> Result<Option<VfioPlan>, PodError> {
    open_in(Path::new(FOLDER), functions)
}

/// Opens what one function needs that a running VM is to be given.
pub(crate) fn open_function(address: &str, group: u32) -> Result<FunctionPlan, PodError> {
    let folder = Path::new(FOLDER);
    Ok(FunctionPlan {
        host_address: host_address(address)?,
        container: node(folder.join(CONTAINER))?,
        group: node(folder.join(GROUPS).join(group.to_string()))?,
    })
}

fn open_in(folder: &Path, functions: &[HostFunction]) -> Result<Option<VfioPlan>, PodError> {
    if functions.is_empty() {
        return Ok(None);
    }
    let plan = match by_cdev(folder, functions) {
        Some(cdevs) => {
            let nodes = cdevs.iter().map(|cdev| folder.join(CDEVS).join(cdev));
            let functions = functions.iter().zip(0..).map(located);
            VfioPlan {
                interface: VfioInterface::Iommufd,
                domain: node(folder.join(IOMMUFD))?,
                nodes: nodes.map(node).collect::<Result<_, _>>()?,
                functions: functions.collect::<Result<_, _>>()?,
            }
        }
        None => by_group(folder, functions)?,
    };
    Ok(Some(plan))
}

/// The cdev of each function; none where one has none, or the host has no iommufd.
fn by_cdev<'a>(folder: &Path, functions: &'a [HostFunction]) -> Option<Vec<&'a str>> {
    if !folder.join(IOMMUFD).exists() {
        return None;
    }
    let cdevs = functions.iter().map(|function| function.cdev.as_deref());
    cdevs.collect()
}

fn by_group(folder: &Path, functions: &[HostFunction]) -> Result<VfioPlan, PodError> {
    let groups = functions.iter().map(|function| {
        function.group.ok_or_else(|| PodError::FunctionNode {
            function: function.address.clone(),
        })
    });
    let groups = groups.collect::<Result<Vec<u32>, _>>()?;
    let numbers: BTreeSet<u32> = groups.iter().copied().collect();
    let functions = functions.iter().zip(groups).map(|(function, group)| {
        let place = numbers.range(..group).count();
        // Past 255 groups the launch is refused for its number of functions.
        located((function, u8::try_from(place).unwrap_or(u8::MAX)))
    });
    let functions = functions.collect::<Result<_, _>>()?;
    let nodes = numbers
        .iter()
        .map(|number| node(folder.join(GROUPS).join(number.to_string())));
    Ok(VfioPlan {
        interface: VfioInterface::Type1,
        domain: node(folder.join(CONTAINER))?,
        nodes: nodes.collect::<Result<_, _>>()?,
        functions,
    })
}

fn located((function, place): (&HostFunction, u8)) -> Result<(PciAddress, u8), PodError> {
    Ok((host_address(&function.address)?, place))
}

fn host_address(address: &str) -> Result<PciAddress, PodError> {
    let parsed = address.parse();
    parsed.map_err(|_invalid| PodError::FunctionName {
        function: address.to_owned(),
    })
}

fn node(path: PathBuf) -> Result<File, PodError> {
    let opened = File::options().read(true).write(true).open(&path);
    opened.map_err(|source| PodError::Vfio { path, source })
}
