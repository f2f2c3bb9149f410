//! HTTP clients: TLS with the system's certificate authorities and those of the configuration, proxies of the environment.
//!
//! Main type: [`Clients`]. They follow no redirect: `endpoint` does, for it knows what may be sent where.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::deadlines::Patience;
use crate::hosts::{self, Hosts, HostsError, Server};
use crate::limits;

#[derive(Debug)]
pub(crate) struct Clients {
    system: Pair,
    by_ca_file: HashMap<PathBuf, Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    /// By way of the proxy that the environment names (`HTTPS_PROXY` …), if any.
    outward: Client,
    /// For this machine, which a proxy would take for itself.
    loopback: Client,
}

impl Clients {
    /// Reads certificate authorities, so it blocks.
    pub(crate) fn new(hosts: &Hosts, patience: Patience) -> Result<Self, HostsError> {
        let system = system_roots();
        let mut by_ca_file = HashMap::new();
        for path in hosts.ca_files() {
            let mut roots = system.clone();
            add_authorities(&mut roots, path)?;
            by_ca_file.insert(path.clone(), pair(roots, patience)?);
        }
        Ok(Self {
            system: pair(system, patience)?,
            by_ca_file,
        })
    }

    pub(crate) fn client(&self, server: &Server) -> Client {
        let own = server.ca_file.as_ref();
        let pair = own.and_then(|path| self.by_ca_file.get(path));
        let pair = pair.unwrap_or(&self.system);
        let host = server.base.host_str().unwrap_or_default();
        if hosts::is_loopback(host) {
            pair.loopback.clone()
        } else {
            pair.outward.clone()
        }
    }
}

/// A system without any is one that pulls over plain HTTP, or from registries whose authority is configured.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "could not read certificate authorities of the system");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "certificate authorities of the system");
    roots
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), HostsError> {
    let unreadable = |source| HostsError::ReadAuthorities {
        path: path.to_owned(),
        source,
    };
    let bad = |problem: String| HostsError::BadAuthorities {
        path: path.to_owned(),
        problem,
    };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(limits::CA_FILE_BYTES + 1).read_to_end(&mut pem);
    if read.map_err(unreadable)? as u64 > limits::CA_FILE_BYTES {
        let limit = limits::CA_FILE_BYTES;
        return Err(bad(format!("it has more than {limit} bytes")));
    }
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| bad(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(bad("no `BEGIN CERTIFICATE` in it".to_owned()));
    }
    Ok(())
}

fn pair(roots: RootCertStore, patience: Patience) -> Result<Pair, HostsError> {
    // Named here, so that no global default has to be installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HostsError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = || {
        Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(patience.connect)
            .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
    };
    Ok(Pair {
        outward: builder().build().map_err(HostsError::Client)?,
        loopback: builder().no_proxy().build().map_err(HostsError::Client)?,
    })
}
