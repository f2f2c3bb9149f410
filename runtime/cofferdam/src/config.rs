//! The configuration file. `config.toml` beside this file is both the documentation and the defaults: what `cofferdam config`
//! prints is what is in force where the host has no file. Main type: [`Config`].

use std::{
    fs, io,
    net::SocketAddr,
    num::NonZeroU8,
    path::{Path, PathBuf},
};

use cri_server::{Guest, Listen, VmDefaults};
use images::Reference;
use pod::{CgroupDriver, CgroupParent, CgroupParentError, ScratchPlan};
use registry::Hosts;
use serde::Deserialize;
use thiserror::Error;

mod handlers;
mod vfio;

use handlers::RuntimeHandlers;
use vfio::Vfio;

/// The documented defaults.
pub(crate) const DEFAULTS: &str = include_str!("config.toml");

/// Where the file is when --config does not say.
pub(crate) const DEFAULT_PATH: &str = "/etc/cofferdam/config.toml";

/// There while systemd is PID 1 (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Largest configuration file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Least memory for containers, in MiB.
const LEAST_MEMORY_MIB: u32 = 16;

/// All of the configuration; `config.toml` documents each key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) kernel: PathBuf,
    pub(crate) guest_image: PathBuf,
    pub(crate) monitor: PathBuf,
    pub(crate) share_server: PathBuf,
    pub(crate) scratch_template: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) deadline_scale: u32,
    pub(crate) registry: Hosts,
    pub(crate) cri: Cri,
    pub(crate) host_pods: HostPods,
    pub(crate) cgroup: Cgroup,
    pub(crate) vfio: Vfio,
    pub(crate) streaming: Streaming,
    pub(crate) metrics: Metrics,
    pub(crate) network: Network,
    pub(crate) vm: Vm,
    pub(crate) container: Container,
    pub(crate) jail: Jail,
}

/// `[cri]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cri {
    pub(crate) socket: PathBuf,
    pub(crate) pinned_images: Vec<Reference>,
    pub(crate) runtime_handlers: RuntimeHandlers,
}

/// `[host_pods]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostPods {
    pub(crate) enabled: bool,
    pub(crate) agent: PathBuf,
}

/// `[cgroup]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cgroup {
    pub(crate) driver: Driver,
    pub(crate) parent: Parent,
}

/// `cgroup.driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    Auto,
    Systemd,
    Cgroupfs,
}

impl Driver {
    /// Whoever is PID 1 manages the host's cgroups, and kubelet must not use another manager.
    pub(crate) fn settled(self) -> CgroupDriver {
        match self {
            Self::Systemd => CgroupDriver::Systemd,
            Self::Cgroupfs => CgroupDriver::Cgroupfs,
            Self::Auto if Path::new(SYSTEMD).is_dir() => CgroupDriver::Systemd,
            Self::Auto => CgroupDriver::Cgroupfs,
        }
    }
}

/// `cgroup.parent`, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Parent(pub(crate) CgroupParent);

impl TryFrom<String> for Parent {
    type Error = CgroupParentError;

    fn try_from(name: String) -> Result<Self, CgroupParentError> {
        CgroupParent::plain(&name).map(Self)
    }
}

/// `[streaming]`, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "StreamingTable")]
pub(crate) struct Streaming {
    pub(crate) listen: SocketAddr,
    pub(crate) base_url: Option<String>,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
}

/// `[streaming]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamingTable {
    listen: String,
    base_url: String,
    certificate: PathBuf,
    key: PathBuf,
}

impl TryFrom<StreamingTable> for Streaming {
    type Error = String;

    fn try_from(table: StreamingTable) -> Result<Self, String> {
        let StreamingTable {
            listen,
            base_url,
            certificate,
            key,
        } = table;
        let listen: SocketAddr = listen.parse().map_err(|error| {
            format!("streaming.listen is {listen:?}, no address with a port (127.0.0.1:0): {error}")
        })?;
        if base_url.is_empty() && listen.ip().is_unspecified() {
            return Err(format!(
                "streaming.listen is {listen}, which is no address for URLs: set streaming.base_url"
            ));
        }
        let is_said = |path: &PathBuf| !path.as_os_str().is_empty();
        let tls = match (is_said(&certificate), is_said(&key)) {
            (true, true) => Some((certificate, key)),
            (false, false) => None,
            _ => {
                let text =
                    "streaming.certificate and streaming.key go together: one of them is missing";
                return Err(text.to_owned());
            }
        };
        Ok(Self {
            listen,
            base_url: Some(base_url).filter(|url| !url.is_empty()),
            tls,
        })
    }
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: MetricsListen,
}

/// `metrics.listen`, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MetricsListen(pub(crate) Option<Listen>);

impl TryFrom<String> for MetricsListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        if text.starts_with('/') {
            return Ok(Self(Some(Listen::Unix(text.into()))));
        }
        let address = text.parse().map_err(|error| {
            format!("{text:?} is neither an address with a port (127.0.0.1:9477) nor a socket's path: {error}")
        })?;
        Ok(Self(Some(Listen::Tcp(address))))
    }
}

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) conf_dir: PathBuf,
    pub(crate) bin_dirs: Vec<PathBuf>,
    pub(crate) max_networks: NonZeroU8,
}

/// `[vm]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vm {
    pub(crate) cpus: u8,
    pub(crate) memory_mib: u32,
    pub(crate) overhead_mib: u32,
    pub(crate) console: Console,
    pub(crate) kernel_arguments: String,
}

/// `vm.console`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Console {
    Off,
    Log,
}

/// `[container]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Container {
    pub(crate) pids_limit: u32,
    pub(crate) writable_layer: WritableLayer,
    pub(crate) writable_mib: u32,
}

/// `container.writable_layer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WritableLayer {
    Disk,
    Memory,
}

/// `[jail]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jail {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The configuration can't be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("read the configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the configuration {} is larger than {MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error(
        "the configuration {} is not right (`cofferdam config` prints every key with its meaning)",
        path.display()
    )]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("the configuration {}: {key} is {value}, it must be {rule}", path.display())]
    OutOfRange {
        path: PathBuf,
        key: &'static str,
        value: u64,
        rule: &'static str,
    },
}

impl Config {
    /// Reads the file; `None` reads the default path, where a missing file means the defaults.
    pub(crate) fn load(given: Option<&Path>) -> Result<Self, ConfigError> {
        let path = given.unwrap_or(Path::new(DEFAULT_PATH));
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => {
                return Self::parse("", path);
            }
            Ok(about) if about.len() > MAX_BYTES => {
                return Err(ConfigError::TooLarge {
                    path: path.to_owned(),
                });
            }
            _ => {}
        }
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |source: toml::de::Error| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        };
        // The defaults are a table like the user's: laid under it, so that each is written once, in config.toml.
        let mut table: toml::Table = toml::from_str(DEFAULTS).map_err(wrong)?;
        let given: toml::Table = toml::from_str(text).map_err(wrong)?;
        lay_over(&mut table, given);
        let config: Self = table.try_into().map_err(wrong)?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let rules: [(&'static str, u64, bool, &'static str); 6] = [
            (
                "deadline_scale",
                self.deadline_scale.into(),
                (1..=1000).contains(&self.deadline_scale),
                "1 to 1000",
            ),
            (
                "vm.cpus",
                self.vm.cpus.into(),
                self.vm.cpus >= 1,
                "at least 1",
            ),
            (
                "vm.memory_mib",
                self.vm.memory_mib.into(),
                self.vm.memory_mib >= LEAST_MEMORY_MIB,
                "at least 16",
            ),
            (
                "container.writable_mib",
                self.container.writable_mib.into(),
                self.container.writable_mib >= 1,
                "at least 1",
            ),
            (
                "jail.uid",
                self.jail.uid.into(),
                self.jail.uid != 0,
                "not root",
            ),
            (
                "jail.gid",
                self.jail.gid.into(),
                self.jail.gid != 0,
                "not root",
            ),
        ];
        for (key, value, good, rule) in rules {
            if !good {
                return Err(ConfigError::OutOfRange {
                    path: path.to_owned(),
                    key,
                    value,
                    rule,
                });
            }
        }
        Ok(())
    }

    /// What is in the VM of a pod without a runtime class.
    pub(crate) fn guest(&self) -> Guest {
        Guest {
            kernel: self.kernel.clone(),
            image: self.guest_image.clone(),
            kernel_arguments: self.vm.kernel_arguments.clone(),
            size: VmDefaults {
                processors: self.vm.cpus,
                memory_mib: self.vm.memory_mib,
                overhead_mib: self.vm.overhead_mib,
            },
        }
    }

    /// Where the image store is.
    pub(crate) fn image_dir(&self) -> PathBuf {
        self.state_dir.join("images")
    }

    /// Where the records of pods are that outlive their daemon.
    pub(crate) fn record_dir(&self) -> PathBuf {
        self.state_dir.join("pods")
    }

    /// Where the writable layers of pods on the node are.
    pub(crate) fn layer_dir(&self) -> PathBuf {
        self.state_dir.join("layers")
    }

    /// Where the records of pods' networks are.
    pub(crate) fn network_dir(&self) -> PathBuf {
        self.state_dir.join("network")
    }

    /// What pods' scratch disks are made of; none where writable layers lie in memory.
    pub(crate) fn scratch(&self) -> Option<ScratchPlan> {
        (self.container.writable_layer == WritableLayer::Disk).then(|| ScratchPlan {
            folder: self.state_dir.join("scratch"),
            template: self.scratch_template.clone(),
        })
    }

    /// Memory that each VM has more for a writable layer.
    pub(crate) fn memory_layer_mib(&self) -> u32 {
        match self.container.writable_layer {
            WritableLayer::Disk => 0,
            WritableLayer::Memory => self.container.writable_mib,
        }
    }

    /// The daemon's socket.
    pub(crate) fn cri_socket(&self) -> PathBuf {
        self.run_dir.join(&self.cri.socket)
    }

    /// Where live pods have their folders.
    pub(crate) fn pod_dir(&self) -> PathBuf {
        self.run_dir.join("pods")
    }
}

/// Lays `over` over `base`, table by table.
fn lay_over(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
