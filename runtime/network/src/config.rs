//! What an operator sets. Main type: [`NetworkConfig`].

use std::{num::NonZeroU8, path::PathBuf};

use serde::Deserialize;

/// Where CNI's files are, and where ours go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Folder of the network configuration files.
    #[serde(default = "conf_dir")]
    pub conf_dir: PathBuf,
    /// Folders in which plugins are looked for, in this order.
    #[serde(default = "bin_dirs")]
    pub bin_dirs: Vec<PathBuf>,
    /// How many networks a pod is joined to: the first so many valid configurations, as `eth0`, `net1`, `net2` …
    #[serde(default = "one")]
    pub max_networks: NonZeroU8,
    /// Records of what is attached. Has to outlive a restart of the daemon.
    pub state_dir: PathBuf,
    /// Has to be empty after a reboot: the namespaces are mounted in `netns` below it.
    pub run_dir: PathBuf,
}

fn conf_dir() -> PathBuf {
    "/etc/cni/net.d".into()
}

/// The place that Kubernetes' installers use, and Debian's.
fn bin_dirs() -> Vec<PathBuf> {
    vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()]
}

fn one() -> NonZeroU8 {
    NonZeroU8::MIN
}

#[cfg(test)]
mod tests;
