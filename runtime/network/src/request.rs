//! What a door says about the pod that is to get a network. Main type: [`PodRequest`]. Its names end up in `CNI_ARGS`, whose
//! separators they may not hold: [`PodRequest::cni_args`] looks.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::{NonZeroU8, NonZeroU16},
};

use model::{Mac, PodId, Prefix};
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

/// One pod's wishes.
#[derive(Debug, Clone)]
pub struct PodRequest {
    /// The pod; CNI knows it as the container's id.
    pub pod: PodId,
    /// Kubernetes' namespace.
    pub namespace: String,
    /// Kubernetes' name.
    pub name: String,
    /// Kubernetes' UID.
    pub uid: String,
    /// Kubernetes' annotations, for plugins that ask for them.
    pub annotations: BTreeMap<String, String>,
    /// Ports of the node that lead to the pod.
    pub port_mappings: Vec<PortMapping>,
    /// Limits of its traffic.
    pub bandwidth: Option<Bandwidth>,
    /// For plugins that configure name servers.
    pub dns: Option<Dns>,
    /// Addresses that the first network has to give.
    pub ips: Vec<Prefix>,
    /// The Ethernet address that the first network has to give.
    pub mac: Option<Mac>,
    /// The pod's cgroup.
    pub cgroup_path: Option<String>,
    /// Queues of each tap: one per processor of the guest, up to what pays. None for a pod without a guest, whose processes are in the namespace
    /// themselves: there are no taps then.
    pub queues: Option<NonZeroU8>,
}

/// A port of the node that leads to one of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The node's.
    pub host_port: NonZeroU16,
    /// The pod's.
    pub container_port: NonZeroU16,
    /// Of which protocol.
    pub protocol: Protocol,
    /// Only on this address of the node.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Limits of a pod's traffic: rates in bits per second, bursts in bits; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Towards the pod.
    pub ingress_rate: u64,
    /// Towards the pod.
    pub ingress_burst: u64,
    /// From the pod.
    pub egress_rate: u64,
    /// From the pod.
    pub egress_burst: u64,
}

/// A resolver's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Name servers.
    pub servers: Vec<String>,
    /// Domains in which short names are looked for.
    pub searches: Vec<String>,
    /// As in resolv.conf(5).
    pub options: Vec<String>,
}

/// A request that no plugin could be asked for.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the pod's {what} \"{}\" can't be told to CNI plugins: it is empty, or holds a ; or = or a control character", value.escape_debug())]
pub struct BadRequest {
    what: &'static str,
    value: String,
}

impl PodRequest {
    /// `CNI_ARGS`, as plugins for Kubernetes know them.
    pub(crate) fn cni_args(&self) -> Result<String, BadRequest> {
        let mut text = "IgnoreUnknown=1".to_owned();
        for (what, key, value) in [
            ("namespace", "K8S_POD_NAMESPACE", self.namespace.as_str()),
            ("name", "K8S_POD_NAME", &self.name),
            ("id", "K8S_POD_INFRA_CONTAINER_ID", self.pod.as_str()),
            ("UID", "K8S_POD_UID", &self.uid),
        ] {
            let bad = |c: char| c == ';' || c == '=' || c.is_control();
            if value.is_empty() || value.contains(bad) {
                let value = value.to_owned();
                return Err(BadRequest { what, value });
            }
            text.push_str(&format!(";{key}={value}"));
        }
        Ok(text)
    }

    /// The arguments of all capabilities that a plugin can declare (CNI's CONVENTIONS.md). What can exist but once is for the
    /// pod's first network: two plugins that forward the same port or give the same address would be in each other's way.
    pub(crate) fn capabilities(&self, network: usize) -> Map<String, Value> {
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
        if network == 0 {
            if !self.port_mappings.is_empty() {
                put("portMappings", json!(self.port_mappings));
            }
            if !self.ips.is_empty() {
                let ips: Vec<String> = self.ips.iter().map(Prefix::to_string).collect();
                put("ips", json!(ips));
            }
            if let Some(mac) = self.mac {
                put("mac", json!(mac.to_string()));
            }
        }
        if let Some(bandwidth) = &self.bandwidth {
            put("bandwidth", json!(bandwidth));
        }
        if let Some(dns) = &self.dns {
            put("dns", json!(dns));
        }
        if let Some(path) = &self.cgroup_path {
            put("cgroupPath", json!(path));
        }
        if !self.annotations.is_empty() {
            put("io.kubernetes.cri.pod-annotations", json!(self.annotations));
        }
        all
    }
}

#[cfg(test)]
mod tests;
