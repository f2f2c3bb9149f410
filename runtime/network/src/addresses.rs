//! The addresses of a namespace's links, as a guest is to have them. Main function: [`translate`].

use std::net::{IpAddr, Ipv6Addr};

use model::{Address, Mac, Prefix};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

/// One address of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) link: u32,
    pub(crate) address: Address,
    /// The kernel made it up for the link.
    pub(crate) by_kernel: bool,
    /// Another one had it already.
    pub(crate) duplicate: bool,
}

/// The message's address; none where it has none that is of IPv4 or IPv6.
pub(crate) fn read(message: &AddressMessage) -> Option<Found> {
    let (mut local, mut peer, mut broadcast) = (None, None, None);
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let mut by_kernel = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Broadcast(address) => broadcast = Some(IpAddr::V4(*address)),
            AddressAttribute::Flags(all) => flags = *all,
            // linux/if_addr.h: IFAPROT_KERNEL_LO, _RA, _LL.
            AddressAttribute::Protocol(protocol) => {
                by_kernel = matches!(u8::from(*protocol), 1..=3);
            }
            _ => {}
        }
    }
    // IFA_ADDRESS is the other end's where there is one, else the same as IFA_LOCAL, which IPv6 leaves out then.
    let own = local.or(peer)?;
    Some(Found {
        link: message.header.index,
        address: Address {
            prefix: Prefix {
                address: own,
                length: message.header.prefix_len,
            },
            peer: peer.filter(|peer| *peer != own),
            broadcast,
            scope: message.header.scope.into(),
        },
        by_kernel,
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}

impl Found {
    /// Whether the guest's kernel makes it by itself, for the same Ethernet address. Kernels before 5.18 don't say that they made it.
    pub(crate) fn is_automatic(&self, mac: Option<Mac>) -> bool {
        let made_of_mac = |mac| IpAddr::V6(link_local(mac)) == self.address.prefix.address;
        self.by_kernel || mac.is_some_and(made_of_mac)
    }
}

/// RFC 4291, appendix A: the modified EUI-64 behind fe80::/64.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let half = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    Ipv6Addr::from((0xfe80 << 112) | u128::from(u64::from_be_bytes(half)))
}

/// The address as the guest is to have it. A plugin that took away the route to the address's network (as `ptp` does, to lead all
/// through its gateway) gets an address without a network: for any other, the guest's kernel would make that route again.
pub(crate) fn translate(address: Address, has_network_route: bool) -> Address {
    let whole = if address.prefix.address.is_ipv4() {
        32
    } else {
        128
    };
    if has_network_route || address.peer.is_some() || address.prefix.length == whole {
        return address;
    }
    let prefix = Prefix {
        length: whole,
        ..address.prefix
    };
    Address {
        prefix,
        broadcast: None,
        ..address
    }
}

/// The network that an address lies in.
pub(crate) fn network(prefix: Prefix) -> Prefix {
    let cut = |bits: u128, width: u8| {
        let behind = u32::from(width.saturating_sub(prefix.length));
        bits.checked_shr(behind)
            .and_then(|front| front.checked_shl(behind))
            .unwrap_or_default()
    };
    let address = match prefix.address {
        IpAddr::V4(address) => {
            let front = cut(u128::from(address.to_bits()), 32);
            IpAddr::V4(u32::try_from(front).unwrap_or_default().into())
        }
        IpAddr::V6(address) => IpAddr::V6(cut(address.to_bits(), 128).into()),
    };
    Prefix { address, ..prefix }
}
