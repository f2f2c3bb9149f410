//! RuntimeConfig: which form of cgroup names kubelet shall use.

use cri::v1::{CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigResponse};

use crate::node::Node;

pub(crate) fn runtime_config(node: &Node) -> RuntimeConfigResponse {
    let driver = match node.settings.cgroup.driver {
        pod::CgroupDriver::Systemd => CgroupDriver::Systemd,
        pod::CgroupDriver::Cgroupfs => CgroupDriver::Cgroupfs,
    };
    RuntimeConfigResponse {
        linux: Some(LinuxRuntimeConfiguration {
            cgroup_driver: driver.into(),
        }),
    }
}
