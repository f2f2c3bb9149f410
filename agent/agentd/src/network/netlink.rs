//! One connection to the kernel's routing tables (rtnetlink(7)): asks for lists, asks for changes. Main type: [`Netlink`].

use std::io;

use futures_util::{Stream, StreamExt};
use rtnetlink::{
    Handle,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
        NetlinkMessage, NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
};
use tokio::time::timeout;

use crate::deadlines::NETLINK_DEADLINE;

/// A connection. Dropping it ends its task.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
}

/// What is to become of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It must not be there.
    Add,
    /// It takes the place of one that has the same key.
    Put,
    /// It is there and changes, or goes.
    Edit,
}

impl Netlink {
    /// In the network namespace of this thread. Within the runtime.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _no_groups) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// All objects that the message asks for.
    pub(super) async fn list(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.ask(message, NLM_F_DUMP).await
    }

    pub(super) async fn change(
        &mut self,
        message: RouteNetlinkMessage,
        change: Change,
    ) -> io::Result<()> {
        let flags = match change {
            Change::Add => NLM_F_CREATE | NLM_F_EXCL,
            Change::Put => NLM_F_CREATE | NLM_F_REPLACE,
            Change::Edit => 0,
        };
        self.ask(message, NLM_F_ACK | flags)
            .await
            .map(|_nothing| ())
    }

    async fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let answers = self.handle.request(request).map_err(io::Error::other)?;
        timeout(NETLINK_DEADLINE, collect(answers)).await?
    }
}

async fn collect(
    answers: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>>,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut answers = std::pin::pin!(answers);
    let mut objects = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(object) => objects.push(object),
            // An acknowledgement is an error of 0.
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(io::Error::from_raw_os_error(error.raw_code().abs()));
            }
            _ => {}
        }
    }
    Ok(objects)
}
