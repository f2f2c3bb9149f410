//! All that the kernel says about a namespace's network, as it says it. Main type: [`Dump`]; [`read`] asks by netlink (rtnetlink(7)).

use futures_util::{TryStream, TryStreamExt};
use rtnetlink::{
    Error, Handle, IpVersion,
    packet_route::{
        AddressFamily, address::AddressMessage, link::LinkMessage, neighbour::NeighbourMessage,
        route::RouteMessage, rule::RuleMessage,
    },
};
use thiserror::Error as ThisError;

/// Most entries of each kind. Plugins write them, not guests; a pod has tens.
const MAX_ENTRIES: usize = 4096;

/// A namespace's network.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    /// Its links.
    pub links: Vec<LinkMessage>,
    /// Their addresses, of both families.
    pub addresses: Vec<AddressMessage>,
    /// Routes of all tables.
    pub routes: Vec<RouteMessage>,
    /// Policy rules of both families.
    pub rules: Vec<RuleMessage>,
    /// Neighbours of both families.
    pub neighbours: Vec<NeighbourMessage>,
}

/// What could not be read.
#[derive(Debug, ThisError)]
pub enum DumpError {
    /// The kernel refused.
    #[error("list the {what} of the network namespace")]
    Kernel {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        #[source]
        source: Error,
    },
    /// More than a pod can have.
    #[error("the network namespace has more than {MAX_ENTRIES} {what}")]
    Many {
        /// Of what.
        what: &'static str,
    },
}

/// Asks for everything.
pub(crate) async fn read(handle: &Handle) -> Result<Dump, DumpError> {
    let mut dump = Dump {
        links: all("links", handle.link().get().execute()).await?,
        addresses: all("addresses", handle.address().get().execute()).await?,
        routes: Vec::new(),
        rules: Vec::new(),
        neighbours: all("neighbours", handle.neighbours().get().execute()).await?,
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let routes = all("routes", handle.route().get(message).execute()).await?;
        dump.routes.extend(routes);
    }
    for version in [IpVersion::V4, IpVersion::V6] {
        let rules = all("rules", handle.rule().get(version).execute()).await?;
        dump.rules.extend(rules);
    }
    Ok(dump)
}

async fn all<T>(
    what: &'static str,
    entries: impl TryStream<Ok = T, Error = Error>,
) -> Result<Vec<T>, DumpError> {
    let mut entries = std::pin::pin!(entries.into_stream());
    let mut read = Vec::new();
    while let Some(entry) = entries
        .try_next()
        .await
        .map_err(|source| DumpError::Kernel { what, source })?
    {
        if read.len() >= MAX_ENTRIES {
            return Err(DumpError::Many { what });
        }
        read.push(entry);
    }
    Ok(read)
}
