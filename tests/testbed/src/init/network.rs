//! The host's name, and its loopback interface, raised with one rtnetlink message: running `ip` would cost more than the rest of this program.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::{Context, Result};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};

/// rtnetlink(7), netlink(7): RTM_NEWLINK, NLM_F_REQUEST; netdevice(7): IFF_UP.
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const IFF_UP: u32 = 1;
/// The first interface of each network namespace (include/net/net_namespace.h: LOOPBACK_IFINDEX).
const LOOPBACK: i32 = 1;
/// On the overlay, so the machine outside keeps its own.
const HOSTS: &str = "/etc/hosts";

/// Names this host, and lets its programs find it by its name, as sudo does.
pub(crate) fn name_host(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).context("set host name")?;
    let mut hosts = OpenOptions::new()
        .append(true)
        .create(true)
        .open(HOSTS)
        .context("open /etc/hosts")?;
    writeln!(hosts, "127.0.1.1 {name}").context("write /etc/hosts")
}

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
