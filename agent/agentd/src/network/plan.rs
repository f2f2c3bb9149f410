//! From a network as it is and as it is to be to the next steps: values to values. Main functions: [`missing`], [`plan`].
//!
//! A plan holds one stage only, the first that has something to do, because the kernel changes the later ones by itself: an interface
//! that goes down loses its routes, an address brings some. So it is read and planned again after each, until a plan is empty.

use std::{collections::HashSet, fmt, hash::Hash};

use super::state::{
    Address, Interface, LOOPBACK, Link, MADE_BY_KERNEL, Neighbour, Present, Route, Rule, Wanted,
};

/// One change for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Link { link: Link, change: LinkChange },
    RemoveAddress { link: Link, address: Address },
    AddAddress { link: Link, address: Address },
    RemoveNeighbour(Neighbour),
    RemoveRule(Rule),
    RemoveRoute(Route),
    AddRoute(Route),
    AddRule(Rule),
    AddNeighbour(Neighbour),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkChange {
    Down,
    Rename(String),
    Mtu(u32),
    NoArp(bool),
    /// From now on the kernel gives it no IPv6 address by itself.
    NoAutomaticIpv6,
    Up,
}

/// The first interface whose device is not there.
pub(super) fn missing<'a>(present: &Present, wanted: &'a Wanted) -> Option<&'a Interface> {
    let mut interfaces = wanted.interfaces.iter();
    interfaces.find(|interface| link_of(present, interface).is_none())
}

/// The next steps. None are left when the network is as it is to be. Every device must be there.
pub(super) fn plan(present: &Present, wanted: &Wanted) -> Vec<Step> {
    let stages = [renames, links, addresses, rest];
    stages
        .iter()
        .map(|stage| stage(present, wanted))
        .find(|steps| !steps.is_empty())
        .unwrap_or_default()
}

/// The device comes before what was made of it later with its address (a VLAN, a macvlan).
fn link_of<'a>(present: &'a Present, interface: &Interface) -> Option<&'a Link> {
    let links = present.links.iter();
    links
        .filter(|link| link.mac == Some(interface.mac))
        .min_by_key(|link| link.index)
}

/// Two steps for each: out of the way under a name of its own, and then, when every name is free, to the right one. So names can be
/// swapped, and a name that something else has is taken from it.
fn renames(present: &Present, wanted: &Wanted) -> Vec<Step> {
    let interfaces = wanted.interfaces.iter();
    let pairs = interfaces.filter_map(|interface| Some((link_of(present, interface)?, interface)));
    let wrong: Vec<_> = pairs
        .filter(|(link, interface)| link.name != interface.name)
        .collect();
    let targets: HashSet<&str> = wrong.iter().map(|(_, to)| to.name.as_str()).collect();
    let mut steps = Vec::new();
    let holders = present.links.iter();
    for link in holders.filter(|link| targets.contains(link.name.as_str())) {
        rename(link, format!("cofferdam{}", link.index), &mut steps);
    }
    for (link, interface) in wrong {
        rename(link, interface.name.clone(), &mut steps);
    }
    steps
}

/// Kernels before 6.2 rename only what is down.
fn rename(link: &Link, name: String, steps: &mut Vec<Step>) {
    if link.up {
        steps.push(step(link, LinkChange::Down));
    }
    steps.push(step(link, LinkChange::Rename(name)));
}

fn links(present: &Present, wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    for link in &present.links {
        let mut change = |needed: bool, change| {
            if needed {
                steps.push(step(link, change));
            }
        };
        let interface = wanted.interfaces.iter().find(|i| i.name == link.name);
        match interface {
            Some(interface) => {
                change(link.automatic_ipv6, LinkChange::NoAutomaticIpv6);
                change(link.mtu != interface.mtu, LinkChange::Mtu(interface.mtu));
                let no_arp = interface.no_arp;
                change(link.no_arp != no_arp, LinkChange::NoArp(no_arp));
                change(!link.up, LinkChange::Up);
            }
            None if link.name == LOOPBACK => change(!link.up, LinkChange::Up),
            None => change(link.up, LinkChange::Down),
        }
    }
    steps
}

/// As sets: which of two IPv4 addresses of one network is the first is not taken apart again.
fn addresses(present: &Present, wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    for link in present.links.iter().filter(|link| link.name != LOOPBACK) {
        let interface = wanted.interfaces.iter().find(|i| i.name == link.name);
        let wanted: &[Address] = interface.map_or(&[], |interface| &interface.addresses);
        let of_link = present.addresses.iter();
        let there: Vec<&Address> = of_link
            .filter(|(name, _)| *name == link.name)
            .map(|(_, address)| address)
            .collect();
        let link = || link.clone();
        // Later ones first: with the first IPv4 address of a network its others go, too.
        let surplus = without(there.iter().rev().copied(), wanted.iter());
        steps.extend(surplus.map(|address| Step::RemoveAddress {
            link: link(),
            address,
        }));
        let lacking = without(wanted.iter(), there.iter().copied());
        steps.extend(lacking.map(|address| Step::AddAddress {
            link: link(),
            address,
        }));
    }
    steps
}

/// Removals first, in the reverse of the order in which things stand on each other.
fn rest(present: &Present, wanted: &Wanted) -> Vec<Step> {
    let surplus_routes = without(present.routes.iter(), wanted.routes.iter())
        .filter(|route| route.protocol != MADE_BY_KERNEL);
    let surplus_rules =
        without(present.rules.iter(), wanted.rules.iter()).filter(|rule| !rule.is_the_kernels());
    let mut steps = Vec::new();
    steps.extend(
        without(present.neighbours.iter(), wanted.neighbours.iter()).map(Step::RemoveNeighbour),
    );
    steps.extend(surplus_rules.map(Step::RemoveRule));
    steps.extend(surplus_routes.map(Step::RemoveRoute));
    steps.extend(without(wanted.routes.iter(), present.routes.iter()).map(Step::AddRoute));
    steps.extend(without(wanted.rules.iter(), present.rules.iter()).map(Step::AddRule));
    steps.extend(
        without(wanted.neighbours.iter(), present.neighbours.iter()).map(Step::AddNeighbour),
    );
    steps
}

/// Those of the first that are not in the second, each once, in order.
fn without<'a, Value: Clone + Eq + Hash + 'a>(
    first: impl Iterator<Item = &'a Value>,
    second: impl Iterator<Item = &'a Value>,
) -> impl Iterator<Item = Value> {
    let mut seen: HashSet<&Value> = second.collect();
    first.filter(move |value| seen.insert(value)).cloned()
}

fn step(link: &Link, change: LinkChange) -> Step {
    Step::Link {
        link: link.clone(),
        change,
    }
}

impl Step {
    /// It takes something away, which may have gone by itself.
    pub(super) fn removes(&self) -> bool {
        matches!(
            self,
            Self::RemoveAddress { .. }
                | Self::RemoveNeighbour(_)
                | Self::RemoveRule(_)
                | Self::RemoveRoute(_)
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { link, change } => {
                let name = &link.name;
                match change {
                    LinkChange::Down => write!(out, "set {name} down"),
                    LinkChange::Rename(to) => write!(out, "rename {name} to {to}"),
                    LinkChange::Mtu(mtu) => write!(out, "set the MTU of {name} to {mtu}"),
                    LinkChange::NoArp(no_arp) => write!(out, "set NOARP of {name} to {no_arp}"),
                    LinkChange::NoAutomaticIpv6 => {
                        write!(out, "keep the kernel from giving IPv6 addresses to {name}")
                    }
                    LinkChange::Up => write!(out, "set {name} up"),
                }
            }
            Self::RemoveAddress { link, address } => {
                write!(out, "remove {} from {}", address.prefix, link.name)
            }
            Self::AddAddress { link, address } => {
                write!(out, "add {} to {}", address.prefix, link.name)
            }
            Self::RemoveNeighbour(neighbour) => write!(out, "remove {neighbour}"),
            Self::RemoveRule(rule) => write!(out, "remove the {rule}"),
            Self::RemoveRoute(route) => write!(out, "remove the {route}"),
            Self::AddRoute(route) => write!(out, "add the {route}"),
            Self::AddRule(rule) => write!(out, "add the {rule}"),
            Self::AddNeighbour(neighbour) => write!(out, "add {neighbour}"),
        }
    }
}

#[cfg(test)]
mod tests;
