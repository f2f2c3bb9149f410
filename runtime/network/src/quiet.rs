//! Keeps a pod's namespace silent on the wire, where the guest speaks for its addresses: no router is listened to or asked, no address
//! is made up or probed for. Main functions: [`namespace`] for interfaces to come, [`link`] and [`tap`] for one that is there. They
//! write to /proc/sys/net, which shows the namespace of the thread that writes (kernel: Documentation/networking/ip-sysctl.rst).

use std::{fs, io, path::PathBuf};

use thiserror::Error;

/// A setting that could not be made.
#[derive(Debug, Error)]
#[error("write {value} to {}", path.display())]
pub struct QuietError {
    path: PathBuf,
    value: &'static str,
    #[source]
    source: io::Error,
}

/// What a namespace's stack does on its own with IPv6.
const IPV6: &[(&str, &str)] = &[
    // Router advertisements are the guest's to hear.
    ("accept_ra", "0"),
    ("autoconf", "0"),
    ("router_solicitations", "0"),
    // Nobody but the pod's address manager gives addresses, and a probe from here would be the guest's rival.
    ("accept_dad", "0"),
];

/// For the interfaces that plugins will make or move here.
pub(crate) fn namespace() -> Result<(), QuietError> {
    ipv6("default")
}

/// For an interface that is there: a plugin may have changed its settings.
pub(crate) fn link(name: &str) -> Result<(), QuietError> {
    ipv6(name)
}

/// For a tap of ours, which carries frames and takes part in nothing.
pub(crate) fn tap(name: &str) -> Result<(), QuietError> {
    write("ipv6", name, "disable_ipv6", "1")
}

/// For a tap that a plugin made and gave addresses: nothing redirects its packets past this stack, so it is told not to answer for
/// any of them.
pub(crate) fn foreign_tap(name: &str) -> Result<(), QuietError> {
    write("ipv4", name, "arp_ignore", "8")?;
    ipv6(name)
}

fn ipv6(name: &str) -> Result<(), QuietError> {
    IPV6.iter()
        .try_for_each(|(setting, value)| write("ipv6", name, setting, value))
}

fn write(family: &str, name: &str, setting: &str, value: &'static str) -> Result<(), QuietError> {
    let path = PathBuf::from(format!("/proc/sys/net/{family}/conf/{name}/{setting}"));
    match fs::write(&path, value) {
        // A kernel, or an interface, without this family.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written.map_err(|source| QuietError {
            path,
            value,
            source,
        }),
    }
}
