//! RuntimeConfig: which form of cgroup names kubelet shall use.

use std::path::Path;

use cri::v1::{CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigResponse};

/// There while systemd is PID 1 (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

pub(crate) fn runtime_config() -> RuntimeConfigResponse {
    // Whoever is PID 1 manages the host's cgroups, and kubelet must not use another manager.
    let driver = if Path::new(SYSTEMD).is_dir() {
        CgroupDriver::Systemd
    } else {
        CgroupDriver::Cgroupfs
    };
    RuntimeConfigResponse {
        linux: Some(LinuxRuntimeConfiguration {
            cgroup_driver: driver.into(),
        }),
    }
}
