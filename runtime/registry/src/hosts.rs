//! Which hosts serve a registry's images: plain data, as a configuration has it.
//!
//! Main types: [`Hosts`], and [`Server`], one place to ask. Pure. Used by `client` and `endpoint`.

use std::path::PathBuf;

use images::Reference;
use reqwest::Url;
use serde::Deserialize;

/// Docker Hub's name in references and the host that serves it.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";
const DOCKER_HUB_NAMES: [&str; 3] = [DOCKER_HUB, "index.docker.io", DOCKER_HUB_SERVER];
/// The registry that stands for all without an entry of their own.
const ANY: &str = "*";

/// What is known about registries; one that is not listed is asked by https at its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hosts {
    /// In any order.
    pub registries: Vec<Registry>,
}

/// One registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Its name in references, with its port: `docker.io`, `registry.example:5000`. `*` is every registry not listed.
    pub host: String,
    /// Asked in this order before the registry itself.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// Where the registry itself is; `https://HOST` by default, and `http://HOST` where the host is this machine.
    #[serde(default)]
    pub url: Option<String>,
    /// PEM file of certificate authorities to trust besides those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Another place that has a registry's images, by their path alone: a mirror drops the registry's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// `http://…` or `https://…`; a path comes before `/v2/`.
    pub url: String,
    /// PEM file of certificate authorities to trust besides those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether it gets the credentials that are meant for the registry.
    #[serde(default)]
    pub send_credentials: bool,
}

/// The hosts can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// Not an address of a server.
    #[error("registry {registry}: `{url}` is no address of a server: {problem}")]
    Url {
        /// The registry.
        registry: String,
        /// What was given.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Two entries of one name.
    #[error("registry {0} is there twice")]
    Twice(String),
    /// A `*` has no server of its own.
    #[error("registry `*` stands for many; it may have mirrors, but no url and no ca_file")]
    Any,
    /// A file of certificate authorities can't be read.
    #[error("read the certificate authorities in {path}")]
    ReadAuthorities {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of certificate authorities has none, or a bad one.
    #[error("{path} has no good certificate authority: {problem}")]
    BadAuthorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The HTTP client could not be made.
    #[error("make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// TLS could not be set up.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
}

/// One place to ask for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Without `/v2`, with a slash at its end.
    pub(crate) base: Url,
    pub(crate) ca_file: Option<PathBuf>,
    /// For whom it stands in, where it is not the registry itself: sent as `?ns=`, as containerd does, so that one mirror
    /// can serve many registries.
    pub(crate) namespace: Option<String>,
    pub(crate) send_credentials: bool,
}

impl Hosts {
    /// Checks everything that a pull would find out too late.
    pub(crate) fn check(&self) -> Result<(), HostsError> {
        for (place, registry) in self.registries.iter().enumerate() {
            let twice = |other: &Registry| canonical(&other.host) == canonical(&registry.host);
            if self.registries[..place].iter().any(twice) {
                return Err(HostsError::Twice(registry.host.clone()));
            }
            if registry.host == ANY && (registry.url.is_some() || registry.ca_file.is_some()) {
                return Err(HostsError::Any);
            }
            for mirror in &registry.mirrors {
                server_url(&registry.host, &mirror.url)?;
            }
            if let Some(url) = &registry.url {
                server_url(&registry.host, url)?;
            }
        }
        Ok(())
    }

    /// Every file of certificate authorities.
    pub(crate) fn ca_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.registries.iter().flat_map(|registry| {
            let mirrors = registry.mirrors.iter();
            let mirrors = mirrors.filter_map(|mirror| mirror.ca_file.as_ref());
            registry.ca_file.iter().chain(mirrors)
        })
    }

    /// Where to ask for an image, in order.
    pub(crate) fn servers(&self, name: &Reference) -> Result<Vec<Server>, HostsError> {
        let host = name.host();
        let named = |wanted: &str| {
            let mut registries = self.registries.iter();
            registries.find(|registry| canonical(&registry.host) == canonical(wanted))
        };
        let registry = named(host).or_else(|| named(ANY));
        let mut servers = Vec::new();
        for mirror in registry.iter().flat_map(|registry| &registry.mirrors) {
            servers.push(Server {
                base: server_url(host, &mirror.url)?,
                ca_file: mirror.ca_file.clone(),
                namespace: Some(host.to_owned()),
                send_credentials: mirror.send_credentials,
            });
        }
        let own = registry.and_then(|registry| registry.url.clone());
        let ca_file = registry.and_then(|registry| registry.ca_file.clone());
        let moved = own.is_some();
        let url = own.unwrap_or_else(|| default_url(host, ca_file.is_some()));
        servers.push(Server {
            base: server_url(host, &url)?,
            ca_file,
            namespace: moved.then(|| host.to_owned()),
            send_credentials: true,
        });
        Ok(servers)
    }
}

/// Docker Hub has several names for one registry.
pub(crate) fn canonical(host: &str) -> &str {
    if DOCKER_HUB_NAMES.contains(&host) {
        DOCKER_HUB
    } else {
        host
    }
}

/// Whether a host, without its port, is this machine: no proxy is asked for it, and its registry speaks plain HTTP.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn default_url(host: &str, has_authorities: bool) -> String {
    let server = if canonical(host) == DOCKER_HUB {
        DOCKER_HUB_SERVER
    } else {
        host
    };
    let (name, port) = server.rsplit_once(':').unwrap_or((server, ""));
    let scheme = if is_loopback(name) && port != "443" && !has_authorities {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{server}")
}

fn server_url(registry: &str, text: &str) -> Result<Url, HostsError> {
    let bad = |problem: &str| HostsError::Url {
        registry: registry.to_owned(),
        // A password in it must not reach a log.
        url: text
            .rsplit_once('@')
            .map_or(text, |(_, rest)| rest)
            .to_owned(),
        problem: problem.to_owned(),
    };
    let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("it must start with http:// or https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("credentials come with the pull, not in the address"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("there is nothing to be had behind `?` or `#`"));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v2").unwrap_or(path);
    let path = format!("{path}/");
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests;
