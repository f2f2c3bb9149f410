//! Limits of a container that runs are changed: all that are named, or none. Main function: [`Cgroup::update`].

use std::fs;

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::{
    Cgroup, CgroupError,
    plan::{self, PlanError, Write},
};

/// Limits whose file has a line for each device: what was there cannot be put back by one write.
const BY_DEVICE: [&str; 2] = ["io.", "rdma."];

impl Cgroup {
    /// Changes the limits that are set and leaves the others. When the kernel refuses one, those before it are put back.
    ///
    /// # Errors
    /// Names the limit that could not be changed, and why.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let resources = self.with_quota(resources)?;
        let writes = writes(&resources)?;
        self.check_memory(&resources)?;
        // All of them are known before the first is changed.
        let olds: Vec<_> = writes
            .iter()
            .map(|write| self.old(write))
            .collect::<Result<_, _>>()?;
        for (done, write) in writes.into_iter().enumerate() {
            let Err(refused) = self.write(write) else {
                continue;
            };
            let back = olds.into_iter().take(done).rev().flatten();
            let failed: Vec<_> = back.filter_map(|old| self.write(old).err()).collect();
            return Err(match failed.into_iter().next() {
                None => refused,
                Some(second) => CgroupError::NotUndone {
                    refused: refused.to_string(),
                    source: Box::new(second),
                },
            });
        }
        Ok(())
    }

    /// None for a file that need not exist and does not.
    fn old(&self, write: &Write) -> Result<Option<Write>, CgroupError> {
        let file = write.file.clone();
        let path = self.path.join(&file);
        if !path.exists() {
            let value = write.value.clone();
            return match write.optional {
                true => Ok(None),
                false => Err(CgroupError::NoSuchFile { file, value }),
            };
        }
        let text = fs::read_to_string(path).map_err(|source| CgroupError::Read {
            file: file.clone(),
            source,
        })?;
        // With its newline: a write of nothing at all would be none, and an empty list of processors is a value.
        let value = format!("{}\n", text.trim_end());
        Ok(Some(Write {
            file,
            value,
            optional: false,
        }))
    }

    /// `cpu.max` takes a quota alone, but no period alone.
    fn with_quota(&self, resources: &LinuxResources) -> Result<LinuxResources, CgroupError> {
        let mut resources = resources.clone();
        let Some(cpu) = resources.cpu() else {
            return Ok(resources);
        };
        if cpu.quota().is_none() && cpu.period().is_some_and(|period| period != 0) {
            let file = "cpu.max".to_owned();
            let present = fs::read_to_string(self.path.join(&file))
                .map_err(|source| CgroupError::Read { file, source })?;
            let cpu = keep_quota(cpu.clone(), &present);
            resources.set_cpu(Some(cpu));
        }
        Ok(resources)
    }

    /// Below what is in use the kernel would kill (cgroup-v2.rst, memory.max); the specification lets the caller ask first.
    fn check_memory(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let asked = |memory: &&LinuxMemory| memory.check_before_update() == Some(true);
        let memory = resources.memory().as_ref().filter(asked);
        let limit = memory.and_then(LinuxMemory::limit);
        let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) else {
            return Ok(());
        };
        let used = self.usage().memory_bytes;
        if limit != 0 && limit < used {
            return Err(CgroupError::InUse { limit, used });
        }
        Ok(())
    }
}

fn writes(resources: &LinuxResources) -> Result<Vec<Write>, PlanError> {
    let fixed = [
        ("devices", resources.devices().is_some()),
        ("network", resources.network().is_some()),
    ];
    if let Some((limit, _)) = fixed.into_iter().find(|(_, set)| *set) {
        return Err(PlanError::Fixed {
            limit: limit.into(),
        });
    }
    let writes = plan::writes(resources)?;
    let by_device = |write: &&Write| BY_DEVICE.iter().any(|start| write.file.starts_with(start));
    match writes.iter().find(by_device) {
        Some(write) => Err(PlanError::Fixed {
            limit: write.file.clone(),
        }),
        None => Ok(writes),
    }
}

/// The file is "quota period", the first of which may be "max".
fn keep_quota(mut cpu: LinuxCpu, present: &str) -> LinuxCpu {
    let quota = present.split_whitespace().next();
    let quota = quota.and_then(|quota| quota.parse().ok()).unwrap_or(-1);
    cpu.set_quota(Some(quota));
    cpu
}

#[cfg(test)]
mod tests;
