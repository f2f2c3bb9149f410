//! What every container of a pod finds in /etc: resolv.conf as the sandbox wants it, and hosts. Main function: [`texts`]. kubelet mounts
//! a hosts of its own over ours; it has no say in resolv.conf but this.

use std::{fmt::Write, fs, io, net::IpAddr, path::Path};

use cri::v1::{DnsConfig, PodSandboxConfig};
use tonic::Status;

/// The node's.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Largest file of the node that is passed on, in bytes: what the agent takes.
const MOST_BYTES: u64 = 64 << 10;

/// The files, as far as they are known without looking at the node.
#[derive(Debug)]
pub(crate) struct Wanted {
    resolv_conf: ResolvConf,
    hosts: String,
}

#[derive(Debug, PartialEq, Eq)]
enum ResolvConf {
    Given(String),
    /// The sandbox says nothing: then as on the node, as containerd has it.
    OfTheNode,
}

/// The files.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) resolv_conf: Vec<u8>,
    pub(crate) hosts: Vec<u8>,
}

/// The files of a sandbox with these addresses.
pub(crate) fn texts(config: &PodSandboxConfig, hostname: &str, ips: &[IpAddr]) -> Wanted {
    let resolv_conf = match &config.dns_config {
        Some(dns) if *dns != DnsConfig::default() => ResolvConf::Given(resolv_conf(dns)),
        _ => ResolvConf::OfTheNode,
    };
    Wanted {
        resolv_conf,
        hosts: hosts(hostname, ips),
    }
}

/// resolv.conf(5).
fn resolv_conf(dns: &DnsConfig) -> String {
    let mut text = String::new();
    let mut line = |keyword: &str, words: &[String]| {
        if !words.is_empty() {
            // Into a string: it can't fail.
            writeln!(text, "{keyword} {}", words.join(" ")).ok();
        }
    };
    line("search", &dns.searches);
    for server in &dns.servers {
        line("nameserver", std::slice::from_ref(server));
    }
    line("options", &dns.options);
    text
}

/// hosts(5).
fn hosts(hostname: &str, ips: &[IpAddr]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for ip in ips {
        writeln!(text, "{ip}\t{hostname}").ok();
    }
    text
}

impl Wanted {
    /// Blocks.
    pub(crate) fn read(self) -> Result<Texts, Status> {
        let resolv_conf = match self.resolv_conf {
            ResolvConf::Given(text) => text.into_bytes(),
            ResolvConf::OfTheNode => of_the_node(Path::new(RESOLV_CONF)).map_err(|error| {
                Status::internal(format!(
                    "read the node's {RESOLV_CONF} for the pod: {error}"
                ))
            })?,
        };
        Ok(Texts {
            resolv_conf,
            hosts: self.hosts.into_bytes(),
        })
    }
}

/// A node without the file has no name servers; its pods have none either.
fn of_the_node(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(b"\n".to_vec()),
        Err(error) => Err(error),
        Ok(about) if about.len() > MOST_BYTES => {
            let text = format!("it has {} bytes, {MOST_BYTES} at most", about.len());
            Err(io::Error::other(text))
        }
        Ok(_) => fs::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(servers: &[&str], searches: &[&str], options: &[&str]) -> PodSandboxConfig {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        PodSandboxConfig {
            dns_config: Some(DnsConfig {
                servers: owned(servers),
                searches: owned(searches),
                options: owned(options),
            }),
            ..PodSandboxConfig::default()
        }
    }

    #[test]
    fn dns_config_becomes_resolv_conf() {
        let config = config(&["10.0.0.10", "fd00::a"], &["a.local", "b"], &["ndots:5"]);
        let wanted = texts(&config, "web", &[]);
        let expect =
            "search a.local b\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:5\n";
        assert_eq!(wanted.resolv_conf, ResolvConf::Given(expect.to_owned()));
    }

    #[test]
    fn sandbox_that_says_nothing_has_the_nodes() {
        for config in [PodSandboxConfig::default(), config(&[], &[], &[])] {
            assert_eq!(
                texts(&config, "web", &[]).resolv_conf,
                ResolvConf::OfTheNode
            );
        }
    }

    #[test]
    fn hosts_names_the_pod_by_each_address() {
        let ips = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let hosts = texts(&PodSandboxConfig::default(), "web", &ips).hosts;
        assert!(hosts.ends_with("10.0.0.2\tweb\nfd00::2\tweb\n"), "{hosts}");
        assert!(hosts.starts_with("127.0.0.1\tlocalhost\n"), "{hosts}");
    }

    #[test]
    fn nodes_file_may_be_missing_and_not_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        assert_eq!(of_the_node(&path).unwrap(), b"\n");
        fs::write(&path, "nameserver 1.1.1.1\n").unwrap();
        assert_eq!(of_the_node(&path).unwrap(), b"nameserver 1.1.1.1\n");
        fs::File::create(&path)
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        assert!(
            of_the_node(&path)
                .unwrap_err()
                .to_string()
                .contains("at most")
        );
    }
}
