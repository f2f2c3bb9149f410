//! Functions of the host for a VM that is about to be launched: VFIO's nodes, opened here, for the monitor opens none. Main function:
//! [`open`]. Above: `guest`. Below: `vm-client`.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

use vm_client::{PciAddress, VfioPlan};

use crate::{error::PodError, plan::HostFunction};

/// VFIO's nodes: the container of type 1, and a node for each IOMMU group.
const FOLDER: &str = "/dev/vfio";
const CONTAINER: &str = "vfio";

/// Opens what the functions need. The kernel lets a group be opened once: while a VM has it, the next one is refused.
pub(super) fn open(functions: &[HostFunction]) -> Result<Option<VfioPlan>, PodError> {
    open_in(Path::new(FOLDER), functions)
}

fn open_in(folder: &Path, functions: &[HostFunction]) -> Result<Option<VfioPlan>, PodError> {
    if functions.is_empty() {
        return Ok(None);
    }
    let numbers = functions.iter().map(|function| function.group);
    let numbers: BTreeSet<u32> = numbers.collect();
    let functions = functions.iter().map(|function| {
        let address = &function.address;
        let wrong = |_invalid| PodError::FunctionName {
            function: address.clone(),
        };
        let address: PciAddress = address.parse().map_err(wrong)?;
        let place = numbers.range(..function.group).count();
        // Past 255 groups the launch is refused for its number of functions.
        Ok((address, u8::try_from(place).unwrap_or(u8::MAX)))
    });
    let functions = functions.collect::<Result<_, PodError>>()?;
    let container = node(folder.join(CONTAINER))?;
    let groups = numbers
        .iter()
        .map(|number| node(folder.join(number.to_string())));
    Ok(Some(VfioPlan {
        container,
        groups: groups.collect::<Result<_, _>>()?,
        functions,
    }))
}

fn node(path: PathBuf) -> Result<File, PodError> {
    let opened = File::options().read(true).write(true).open(&path);
    opened.map_err(|source| PodError::Vfio { path, source })
}
