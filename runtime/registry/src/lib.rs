//! Pulls images from registries into the store.
//!
//! [`Puller::pull`] turns a reference into hosts ([`Hosts`]: mirrors in order, then the registry itself), asks them for the
//! manifest, and streams the layers into the store's converter while they arrive. Layers are shared: pulls that want the
//! same layer at the same time wait for one download, which ends when nobody waits any more. Protocol: OCI distribution
//! spec 1.1 and the token flow of the distribution project. Above: `cofferdam` and the kubelet's door. Below: `images`,
//! which converts, checks every layer's digests and writes; it blocks, so it gets blocking threads.
//!
//! HTTP is reqwest, TLS rustls with ring. oci-client, which knows the protocol, was weighed and not taken: 0.18 reads
//! manifests of any size into memory, follows redirects by a policy that we could not choose (from https to http too),
//! knows mirrors by their host alone (no path, no certificate authority of their own), and cannot exchange an identity
//! token; what would have remained of it is the list of paths.

mod auth;
mod challenge;
mod client;
mod deadlines;
mod download;
mod endpoint;
mod error;
mod flight;
mod held;
mod hosts;
mod limits;
mod progress;
mod pull;
mod resolve;
mod session;
mod stream;
mod token;

pub use auth::AuthConfig;
pub use deadlines::Patience;
pub use error::{Attempt, Kind, Problem, PullError};
pub use hosts::{Hosts, HostsError, Mirror, Registry};
pub use progress::{LayerProgress, LayerState, Progress, Stage};
pub use pull::Puller;
