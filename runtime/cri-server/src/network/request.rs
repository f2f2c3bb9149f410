//! What CRI says of a sandbox's network, as the crate `network` wants it. Pure. Main function: [`of`].

use std::{
    net::IpAddr,
    num::{NonZeroU8, NonZeroU16},
};

use cri::v1::{PodSandboxConfig, PortMapping, Protocol as Transport};
use model::PodId;
use network::{Bandwidth, Dns, PodRequest, Protocol};

use crate::translate::Refusal;

/// More queues than that pay for no guest (research of others' defaults: one for each processor, eight at most).
const MOST_QUEUES: u8 = 8;

/// Annotations by which Kubernetes limits a pod's traffic (k8s.io/kubernetes, "bandwidth" of the CNI conventions).
const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";

/// The request for a sandbox whose VM has so many processors; none for one on the node.
pub(crate) fn of(
    pod: &PodId,
    config: &PodSandboxConfig,
    processors: Option<u8>,
) -> Result<PodRequest, Refusal> {
    let queues = |processors: u8| NonZeroU8::new(processors.clamp(1, MOST_QUEUES));
    let metadata = config.metadata.clone().unwrap_or_default();
    let dns = config.dns_config.as_ref().map(|dns| Dns {
        servers: dns.servers.clone(),
        searches: dns.searches.clone(),
        options: dns.options.clone(),
    });
    let mappings = config.port_mappings.iter().filter_map(mapping);
    let cgroup_path = config
        .linux
        .as_ref()
        .map(|linux| linux.cgroup_parent.clone())
        .filter(|path| !path.is_empty());
    Ok(PodRequest {
        pod: pod.clone(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        annotations: config.annotations.clone(),
        port_mappings: mappings.collect::<Result<_, _>>()?,
        bandwidth: bandwidth(config)?,
        dns,
        ips: Vec::new(),
        mac: None,
        cgroup_path,
        queues: processors.and_then(queues),
    })
}

/// A mapping without a port of the host is a mere declaration.
fn mapping(mapping: &PortMapping) -> Option<Result<network::PortMapping, Refusal>> {
    (mapping.host_port != 0).then(|| whole_mapping(mapping))
}

fn whole_mapping(mapping: &PortMapping) -> Result<network::PortMapping, Refusal> {
    let port = |what: &str, value: i32| {
        let port = u16::try_from(value).ok().and_then(NonZeroU16::new);
        port.ok_or_else(|| Refusal::invalid(format!("{what} {value} is no port: 1 to 65535 are")))
    };
    let protocol = match mapping.protocol() {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
        Transport::Sctp => Protocol::Sctp,
    };
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => Some(text.parse::<IpAddr>().map_err(|error| {
            Refusal::invalid(format!("host_ip {text:?} of a port mapping: {error}"))
        })?),
    };
    Ok(network::PortMapping {
        host_port: port("host_port", mapping.host_port)?,
        container_port: port("container_port", mapping.container_port)?,
        protocol,
        // "Any address" in words is what no address says.
        host_ip: host_ip.filter(|ip| !ip.is_unspecified()),
    })
}

/// From the pod's annotations. The burst is what the plugin takes as "none": the largest that it accepts.
fn bandwidth(config: &PodSandboxConfig) -> Result<Option<Bandwidth>, Refusal> {
    const BURST_BITS: u64 = i32::MAX as u64;
    let rate = |name: &str| {
        match config.annotations.get(name) {
        None => Ok(0),
        Some(text) => quantity(text).ok_or_else(|| {
            Refusal::invalid(format!("the annotation {name} is {text:?}, which is no number of bits per second (like 10M)"))
        }),
    }
    };
    let (ingress_rate, egress_rate) = (rate(INGRESS)?, rate(EGRESS)?);
    let burst = |rate| if rate > 0 { BURST_BITS } else { 0 };
    let some = ingress_rate > 0 || egress_rate > 0;
    Ok(some.then_some(Bandwidth {
        ingress_rate,
        ingress_burst: burst(ingress_rate),
        egress_rate,
        egress_burst: burst(egress_rate),
    }))
}

/// A whole number with one of Kubernetes' suffixes (apimachinery's "quantity", without fractions and exponents).
fn quantity(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u64 = match text.get(digits.len()..)? {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
