//! A sandbox's network, as this door wants it: the crate `network` makes it, this file asks for it and divides what comes back between
//! the VM (devices), its guest (addresses, routes) and CRI (addresses to show). Main type: [`Network`].

mod request;

pub(crate) use request::of as request;

use std::{net::IpAddr, path::PathBuf};

use model::{PodId, PodNetwork};
use network::PodRequest;
use pod::{Nic, NicQueue};
use tonic::Status;

use crate::settings::{NetworkSettings, Settings};

/// The node's network.
#[derive(Debug)]
pub(crate) struct Network(network::Network);

/// What a sandbox has of it.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// The primary one first.
    pub(crate) ips: Vec<IpAddr>,
    /// Where the pod's namespace is.
    pub(crate) namespace: PathBuf,
    /// The VM's devices.
    pub(crate) nics: Vec<Nic>,
    /// What the guest does with them.
    pub(crate) network: PodNetwork,
}

/// Whether pods get a network, as Status says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) ready: bool,
    /// One word in CamelCase; empty when it is ready.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Network {
    /// Makes the folders that networks need. Blocks.
    pub(crate) fn open(settings: &Settings) -> Result<Self, network::NetworkError> {
        let NetworkSettings {
            conf_dir,
            bin_dirs,
            max_networks,
            state_dir,
            run_dir,
        } = settings.network.clone();
        let config = network::NetworkConfig {
            conf_dir,
            bin_dirs,
            max_networks,
            state_dir,
            run_dir,
        };
        let deadlines = network::Deadlines::scaled(settings.deadline_scale);
        network::Network::open(config, deadlines).map(Self)
    }

    /// Gives a sandbox its network: runs the CNI plugins, and makes a tap for each of its interfaces.
    pub(crate) async fn attach(&self, request: PodRequest) -> Result<Attachment, Status> {
        let attachment = self.0.setup(request).await;
        let attachment = attachment.map_err(|error| failed(&error))?;
        let nics = attachment.taps.into_iter().map(nic).collect();
        Ok(Attachment {
            ips: attachment.ips,
            namespace: attachment.namespace,
            nics,
            network: attachment.network,
        })
    }

    /// Takes the network of a sandbox whose VM is gone; one that has none is no error.
    pub(crate) async fn detach(&self, pod: &PodId) -> Result<(), Status> {
        let gone = self.0.teardown(pod).await;
        gone.map_err(|error| failed(&error))
    }

    /// Takes the networks of all pods but these: those of pods that died while no daemon ran.
    pub(crate) async fn keep_only(&self, valid: impl Iterator<Item = PodId>) {
        match self.0.gc(valid.collect()).await {
            Ok(collected) => {
                for pod in &collected.removed {
                    tracing::info!(%pod, "the network of a pod that is gone has been given back");
                }
                for (pod, error) in &collected.failed {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(%pod, error, "the network of a pod that is gone stays");
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "networks of pods that are gone may be left");
            }
        }
    }

    /// For Status.
    pub(crate) async fn condition(&self) -> Condition {
        match self.0.status().await {
            Ok(()) => Condition {
                ready: true,
                reason: "",
                message: String::new(),
            },
            Err(error) => Condition {
                ready: false,
                reason: "NetworkPluginNotReady",
                message: model::chain(&error),
            },
        }
    }
}

/// vhost-net moves a NIC's packets where the host has it, for all of its queues or for none.
fn nic(tap: network::Tap) -> Nic {
    let network::Tap {
        interface,
        name: _,
        mac,
        mtu,
        queues,
    } = tap;
    let vhost: Result<Vec<_>, _> = queues.iter().map(|_| network::open_vhost_net()).collect();
    let mut vhost = vhost
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::debug!(error, "the monitor moves the packets itself");
        })
        .unwrap_or_default()
        .into_iter();
    let queues = queues.into_iter().map(|tap| NicQueue {
        tap,
        vhost: vhost.next(),
    });
    Nic {
        name: interface,
        mac,
        mtu,
        queues: queues.collect(),
    }
}

fn failed(error: &network::NetworkError) -> Status {
    let message = model::chain(error);
    match error.fault() {
        model::Fault::Invalid => Status::invalid_argument(message),
        model::Fault::HostUnfit | model::Fault::Refused => Status::failed_precondition(message),
        model::Fault::DeadlineExceeded => Status::deadline_exceeded(message),
        _ => Status::internal(message),
    }
}
