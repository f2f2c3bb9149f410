//! Raises the loopback interface, with one rtnetlink message: running `ip` would cost more than the rest of this program.

use anyhow::{Context, Result};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};

/// rtnetlink(7), netlink(7): RTM_NEWLINK, NLM_F_REQUEST; netdevice(7): IFF_UP.
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const IFF_UP: u32 = 1;
/// The first interface of each network namespace (include/net/net_namespace.h: LOOPBACK_IFINDEX).
const LOOPBACK: i32 = 1;

pub(crate) fn raise_loopback() -> Result<()> {
    let netlink =
        socket(AddressFamily::NETLINK, SocketType::DGRAM, None).context("open rtnetlink")?;
    let kernel = SocketAddrNetlink::new(0, 0);
    let message = raise_message();
    let sent = sendto(&netlink, &message, SendFlags::empty(), &kernel);
    sent.map(|_| ()).context("raise the loopback interface")
}

/// nlmsghdr { len u32, type u16, flags u16, seq u32, pid u32 }, then
/// ifinfomsg { family u8, pad u8, type u16, index i32, flags u32, change u32 }.
fn raise_message() -> Vec<u8> {
    const BYTES: u32 = 32;
    [
        &BYTES.to_ne_bytes()[..],
        &RTM_NEWLINK.to_ne_bytes(),
        &NLM_F_REQUEST.to_ne_bytes(),
        &[0; 8],
        &[0; 4],
        &LOOPBACK.to_ne_bytes(),
        &IFF_UP.to_ne_bytes(),
        &IFF_UP.to_ne_bytes(),
    ]
    .concat()
}
