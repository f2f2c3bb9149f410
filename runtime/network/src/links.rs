//! Which links of a namespace the guest gets, and how each is joined to its tap. Main type: [`LinkPlan`]; [`plan`] decides, from what
//! the kernel says and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use model::Mac;
use rtnetlink::packet_route::link::{
    InfoData, InfoIpVlan, InfoIpVtap, InfoKind, InfoNetkit, IpVlanMode, LinkAttribute, LinkFlags,
    LinkInfo, LinkLayerType, LinkMessage, NetkitMode,
};
use thiserror::Error;

/// linux/if.h: `IFNAMSIZ` without its zero byte.
const MAX_NAME_BYTES: usize = 15;
/// linux/if_tun.h: `IFLA_TUN_TYPE`, and its value for a tap.
const IFLA_TUN_TYPE: u16 = 3;
const IFF_TAP: u8 = 2;

/// A link that the guest gets as an interface of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPlan {
    /// The link's number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, which the guest takes over.
    pub mac: Mac,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// `IFF_NOARP`.
    pub no_arp: bool,
    /// How the guest's frames get to it.
    pub joint: Joint,
}

/// Between a link and the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joint {
    /// A tap of this name, and redirects between both.
    Redirect {
        /// The tap's name.
        tap: String,
    },
    /// The link is a tap itself.
    Itself,
}

/// A link that can't be given to a guest.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LinkError {
    /// It carries no Ethernet frames.
    #[error(
        "link {name} ({kind}) carries packets without Ethernet addresses, which a guest can't be given yet: set the CNI plugin to an L2 mode, such as veth, netkit in mode l2 or ipvlan in mode l2"
    )]
    Layer3 {
        /// Its name.
        name: String,
        /// Its kind.
        kind: String,
    },
    /// It takes what another one should get.
    #[error(
        "link {upper} lies on link {lower}, and both are the pod's: the guest would get the frames of {upper} at {lower}"
    )]
    Stacked {
        /// The one above.
        upper: String,
        /// The one below.
        lower: String,
    },
    /// Its table of routes would be lost.
    #[error(
        "link {name} belongs to another link of the namespace (a VRF, bridge or bond): a guest can't be given that"
    )]
    Enslaved {
        /// Its name.
        name: String,
    },
    /// The kernel said less than it should.
    #[error("the kernel's description of link number {index} has no {what}")]
    Incomplete {
        /// Its number.
        index: u32,
        /// What is missing.
        what: &'static str,
    },
}

/// One link, as far as it matters.
struct Seen<'a> {
    message: &'a LinkMessage,
    index: u32,
    name: &'a str,
    kind: Option<&'a InfoKind>,
    data: Option<&'a InfoData>,
}

/// The links that the guest gets, by number. `addressed` are the numbers of those that have an address which nobody but a plugin
/// can have given.
pub(crate) fn plan(
    links: &[LinkMessage],
    addressed: &BTreeSet<u32>,
) -> Result<Vec<LinkPlan>, LinkError> {
    let seen: Vec<Seen<'_>> = links.iter().map(Seen::read).collect::<Result<_, _>>()?;
    let mut names: BTreeSet<String> = seen.iter().map(|link| link.name.to_owned()).collect();
    let mut chosen: Vec<&Seen<'_>> = seen
        .iter()
        .filter(|link| link.is_for_guest(addressed))
        .collect();
    chosen.sort_by_key(|link| link.index);
    refuse_stacks(&chosen)?;
    let each = chosen.into_iter();
    each.map(|link| link.plan(&mut names)).collect()
}

impl<'a> Seen<'a> {
    fn read(message: &'a LinkMessage) -> Result<Self, LinkError> {
        let index = message.header.index;
        let mut name = None;
        let mut seen = Seen {
            message,
            index,
            name: "",
            kind: None,
            data: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text.as_str()),
                LinkAttribute::LinkInfo(infos) => seen.read_infos(infos),
                _ => {}
            }
        }
        let what = "name";
        seen.name = name.ok_or(LinkError::Incomplete { index, what })?;
        Ok(seen)
    }

    fn read_infos(&mut self, infos: &'a [LinkInfo]) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind),
                LinkInfo::Data(data) => self.data = Some(data),
                _ => {}
            }
        }
    }

    fn has(&self, flag: LinkFlags) -> bool {
        self.message.header.flags.contains(flag)
    }

    fn is_ethernet(&self) -> bool {
        self.message.header.link_layer_type == LinkLayerType::Ether
    }

    /// What has an address; and an Ethernet link that is up without one, for a network that gives none. The rest is what modules put
    /// into each namespace, such as tunl0 and sit0.
    fn is_for_guest(&self, addressed: &BTreeSet<u32>) -> bool {
        let carries = self.is_ethernet() && self.has(LinkFlags::Up) && self.controller().is_none();
        !self.has(LinkFlags::Loopback) && (carries || addressed.contains(&self.index))
    }

    fn find<T>(&self, read: impl Fn(&LinkAttribute) -> Option<T>) -> Option<T> {
        self.message.attributes.iter().find_map(read)
    }

    fn controller(&self) -> Option<u32> {
        self.find(|attribute| match attribute {
            LinkAttribute::Controller(index) => Some(*index),
            _ => None,
        })
    }

    /// The link of this namespace that it lies on. A veth's other end is no such, nor is a link of another namespace.
    fn lower(&self) -> Option<u32> {
        let lies_on_another = matches!(
            self.kind,
            Some(
                InfoKind::Vlan
                    | InfoKind::MacVlan
                    | InfoKind::MacVtap
                    | InfoKind::IpVlan
                    | InfoKind::IpVtap
                    | InfoKind::MacSec
            )
        );
        let elsewhere = self.find(|attribute| match attribute {
            LinkAttribute::LinkNetNsId(id) => Some(*id),
            _ => None,
        });
        let lower = self.find(|attribute| match attribute {
            LinkAttribute::Link(index) => Some(*index),
            _ => None,
        });
        lower.filter(|_| lies_on_another && elsewhere.is_none())
    }

    fn mac(&self) -> Option<Mac> {
        let bytes = self.find(|attribute| match attribute {
            LinkAttribute::Address(bytes) => Some(bytes.clone()),
            _ => None,
        });
        let bytes: [u8; 6] = bytes?.try_into().ok()?;
        (self.is_ethernet() && bytes != [0; 6]).then_some(Mac(bytes))
    }

    fn is_layer3(&self) -> bool {
        let ipvlan = |mode: &IpVlanMode| *mode != IpVlanMode::L2;
        match self.data {
            Some(InfoData::IpVlan(infos)) => infos
                .iter()
                .any(|info| matches!(info, InfoIpVlan::Mode(mode) if ipvlan(mode))),
            Some(InfoData::IpVtap(infos)) => infos
                .iter()
                .any(|info| matches!(info, InfoIpVtap::Mode(mode) if ipvlan(mode))),
            Some(InfoData::Netkit(infos)) => infos
                .iter()
                .any(|info| matches!(info, InfoNetkit::Mode(mode) if *mode != NetkitMode::L2)),
            _ => matches!(self.kind, Some(InfoKind::Vrf)),
        }
    }

    fn is_tap(&self) -> bool {
        match self.data {
            Some(InfoData::Tun(infos)) => infos.iter().any(|info| {
                use rtnetlink::packet_core::Nla;
                let mut value = [0];
                info.kind() == IFLA_TUN_TYPE && info.value_len() == 1 && {
                    info.emit_value(&mut value);
                    value == [IFF_TAP]
                }
            }),
            _ => false,
        }
    }

    fn plan(&self, names: &mut BTreeSet<String>) -> Result<LinkPlan, LinkError> {
        let name = self.name.to_owned();
        if self.controller().is_some() {
            return Err(LinkError::Enslaved { name });
        }
        let mac = self.mac().filter(|_| !self.is_layer3());
        let Some(mac) = mac else {
            let kind = self
                .kind
                .map_or_else(|| "no kind".to_owned(), InfoKind::to_string);
            return Err(LinkError::Layer3 { name, kind });
        };
        let mtu = self.find(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        let joint = if self.is_tap() {
            Joint::Itself
        } else {
            let tap = tap_name(self.name, self.index, names);
            names.insert(tap.clone());
            Joint::Redirect { tap }
        };
        Ok(LinkPlan {
            index: self.index,
            name,
            mac,
            mtu: mtu.ok_or(LinkError::Incomplete {
                index: self.index,
                what: "MTU",
            })?,
            no_arp: self.has(LinkFlags::Noarp),
            joint,
        })
    }
}

/// A redirect at the lower link runs before the upper one gets its share.
fn refuse_stacks(chosen: &[&Seen<'_>]) -> Result<(), LinkError> {
    let names: BTreeMap<u32, &str> = chosen.iter().map(|link| (link.index, link.name)).collect();
    for link in chosen {
        if let Some(lower) = link.lower().and_then(|lower| names.get(&lower)) {
            return Err(LinkError::Stacked {
                upper: link.name.to_owned(),
                lower: (*lower).to_owned(),
            });
        }
    }
    Ok(())
}

/// `tap-eth0`, or by the link's number where that is too long or taken.
fn tap_name(link: &str, index: u32, taken: &BTreeSet<String>) -> String {
    let by_name = format!("tap-{link}");
    let by_number = (0u32..).map(|again| match again {
        0 => format!("tap{index}"),
        again => format!("tap{index}-{again}"),
    });
    std::iter::once(by_name)
        .chain(by_number)
        .find(|name| name.len() <= MAX_NAME_BYTES && !taken.contains(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
