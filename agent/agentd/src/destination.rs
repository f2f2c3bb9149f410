//! Where in a container something is to be: a path as the host says it. Main function: [`parse`]. Used by what checks requests: `volumes`,
//! `container_disks`.

#[cfg(test)]
mod tests;

use std::path::{Component, PathBuf};

use crate::fault::Fault;

/// Absolute, without "..", and not the root itself; in words for a person, what is to be there.
pub(crate) fn parse(path: &str, what: &str) -> Result<PathBuf, Fault> {
    let destination = PathBuf::from(path);
    let leads_up = destination
        .components()
        .any(|part| part == Component::ParentDir);
    if !destination.is_absolute() || leads_up || destination.parent().is_none() {
        return Err(Fault::invalid(format!(
            "{what} can't be at {path:?}: that is to be an absolute path without .., and not the root"
        )));
    }
    Ok(destination)
}
