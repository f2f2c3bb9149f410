//! Joins a tap to a link of the namespace: all that comes in at one goes out at the other (tc-mirred(8), tc-u32(8)). Main function:
//! [`join`]. A redirect on the way in runs before the namespace's own stack, which therefore sees and answers nothing.

use rtnetlink::{Error, Handle, LinkUnspec};
use thiserror::Error as ThisError;

/// linux/if_ether.h: every protocol.
const ETH_P_ALL: u16 = 0x0003;

/// A link and a tap that could not be joined.
#[derive(Debug, ThisError)]
pub enum JoinError {
    /// The tap.
    #[error("set up tap {tap} with an MTU of {mtu}")]
    Tap {
        /// Its name.
        tap: String,
        /// Bytes.
        mtu: u32,
        /// The kernel's answer.
        #[source]
        source: Error,
    },
    /// The queueing discipline that filters hang on.
    #[error("add the ingress qdisc of {link}: has the kernel its module sch_ingress?")]
    Qdisc {
        /// The link.
        link: String,
        /// The kernel's answer.
        #[source]
        source: Error,
    },
    /// The filter.
    #[error(
        "redirect what comes in at {from} to {to}: has the kernel its modules cls_u32 and act_mirred?"
    )]
    Redirect {
        /// One end.
        from: String,
        /// The other.
        to: String,
        /// The kernel's answer.
        #[source]
        source: Error,
    },
}

/// One end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) index: u32,
    pub(crate) name: &'a str,
}

/// Sets the tap up with the link's MTU, and joins both.
pub(crate) async fn join(
    handle: &Handle,
    link: End<'_>,
    tap: End<'_>,
    mtu: u32,
) -> Result<(), JoinError> {
    let up = LinkUnspec::new_with_index(tap.index).mtu(mtu).up().build();
    let set = handle.link().set(up).execute().await;
    set.map_err(|source| JoinError::Tap {
        tap: tap.name.to_owned(),
        mtu,
        source,
    })?;
    redirect(handle, link, tap).await?;
    redirect(handle, tap, link).await
}

/// Filters that a plugin left there have smaller numbers than the one that the kernel chooses for ours, and come first.
async fn redirect(handle: &Handle, from: End<'_>, to: End<'_>) -> Result<(), JoinError> {
    let failed = |source| JoinError::Redirect {
        from: from.name.to_owned(),
        to: to.name.to_owned(),
        source,
    };
    let index =
        |end: End<'_>| i32::try_from(end.index).map_err(|_too_big| failed(Error::RequestFailed));
    let qdisc = handle.qdisc().add(index(from)?).ingress().execute().await;
    match qdisc {
        // A plugin has put one there, ingress or clsact; filters hang on both alike.
        Err(Error::NetlinkError(answer)) if answer.raw_code() == -libc::EEXIST => {}
        other => other.map_err(|source| JoinError::Qdisc {
            link: from.name.to_owned(),
            source,
        })?,
    }
    let filter = handle
        .traffic_filter(index(from)?)
        .add()
        .ingress()
        .protocol(ETH_P_ALL.to_be())
        .redirect(to.index)
        .map_err(failed)?;
    filter.execute().await.map_err(failed)
}
