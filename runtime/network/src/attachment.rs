//! What a pod's guest is attached by. Main type: [`Attachment`]. [`attach`] makes its taps, inside the pod's namespace, once the plugins
//! are done.

use std::{net::IpAddr, num::NonZeroU8, os::fd::OwnedFd, path::PathBuf};

use futures_util::TryStreamExt;
use model::{Mac, PodNetwork};
use rtnetlink::Handle;
use thiserror::Error;

use crate::{
    dump::{self, DumpError},
    join::{self, End, JoinError},
    links::{Joint, LinkPlan},
    quiet::{self, QuietError},
    tap::{self, TapError},
    translate::{self, TranslateError},
};

/// A pod's network, ready for its guest. The taps go with their descriptors; all else stays until the pod is torn down.
#[derive(Debug)]
pub struct Attachment {
    /// The path of the pod's network namespace.
    pub namespace: PathBuf,
    /// The pod's addresses, the primary one first.
    pub ips: Vec<IpAddr>,
    /// What the guest is told; nothing where there is none.
    pub network: PodNetwork,
    /// A tap for each interface of the guest, in the same order.
    pub taps: Vec<Tap>,
}

/// The node's end of a guest's interface.
#[derive(Debug)]
pub struct Tap {
    /// The interface's name in the guest.
    pub interface: String,
    /// The tap's name in the pod's namespace.
    pub name: String,
    /// The Ethernet address that the guest's interface is to have.
    pub mac: Mac,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// A descriptor for each queue. Each packet has a header of 12 bytes (`struct virtio_net_hdr_v1`) before it; no offload is on
    /// until its user says which ones the guest takes (TUNSETOFFLOAD).
    pub queues: Vec<OwnedFd>,
}

/// What went wrong between the plugins' end and the guest's beginning.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Reading the namespace.
    #[error("read what the CNI plugins have made")]
    Dump(#[from] DumpError),
    /// Making sense of it.
    #[error("make the guest's network from what the CNI plugins have made")]
    Translate(#[from] TranslateError),
    /// Settings.
    #[error("keep the namespace's own stack quiet")]
    Quiet(#[from] QuietError),
    /// A tap.
    #[error("make a tap for interface {interface}")]
    Tap {
        /// The interface.
        interface: String,
        /// What the attempt came to.
        #[source]
        source: TapError,
    },
    /// A tap that is made and not there.
    #[error("find tap {name}")]
    Find {
        /// Its name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The join.
    #[error("join interface {interface} to its tap")]
    Join {
        /// The interface.
        interface: String,
        /// What the attempt came to.
        #[source]
        source: Box<JoinError>,
    },
}

/// Reads the namespace of this thread and makes the guest's taps in it.
pub(crate) async fn attach(
    handle: &Handle,
    queues: NonZeroU8,
) -> Result<(PodNetwork, Vec<Tap>), AttachError> {
    let dump = dump::read(handle).await?;
    let plan = translate::translate(&dump)?;
    let mut taps = Vec::new();
    for link in &plan.links {
        let tap = match &link.joint {
            Joint::Redirect { tap } => redirected(handle, link, tap, queues).await?,
            Joint::Itself => foreign(link, queues)?,
        };
        taps.push(tap);
    }
    Ok((plan.network, taps))
}

async fn redirected(
    handle: &Handle,
    link: &LinkPlan,
    name: &str,
    queues: NonZeroU8,
) -> Result<Tap, AttachError> {
    let queues = tap::open(name, queues).map_err(|source| AttachError::Tap {
        interface: link.name.clone(),
        source,
    })?;
    // Before it is up, or it would greet the guest with packets of its own.
    quiet::tap(name)?;
    quiet::link(&link.name)?;
    let index = index(handle, name).await?;
    let (one, other) = (
        End {
            index: link.index,
            name: &link.name,
        },
        End { index, name },
    );
    let joined = join::join(handle, one, other, link.mtu).await;
    joined.map_err(|source| AttachError::Join {
        interface: link.name.clone(),
        source: Box::new(source),
    })?;
    Ok(finished(link, name, queues))
}

fn foreign(link: &LinkPlan, queues: NonZeroU8) -> Result<Tap, AttachError> {
    let queues = tap::open_foreign(&link.name, queues).map_err(|source| AttachError::Tap {
        interface: link.name.clone(),
        source,
    })?;
    quiet::foreign_tap(&link.name)?;
    Ok(finished(link, &link.name, queues))
}

fn finished(link: &LinkPlan, name: &str, queues: Vec<OwnedFd>) -> Tap {
    Tap {
        interface: link.name.clone(),
        name: name.to_owned(),
        mac: link.mac,
        mtu: link.mtu,
        queues,
    }
}

async fn index(handle: &Handle, name: &str) -> Result<u32, AttachError> {
    let failed = |source| AttachError::Find {
        name: name.to_owned(),
        source,
    };
    let found = handle.link().get().match_name(name).execute();
    let mut found = std::pin::pin!(found);
    let link = found.try_next().await.map_err(failed)?;
    let link = link.ok_or_else(|| failed(rtnetlink::Error::RequestFailed))?;
    Ok(link.header.index)
}
