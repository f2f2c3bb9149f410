//! Which capabilities a process has. Main function: [`capabilities`].

use model::{CapabilityChanges, Security};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use super::error::SpecificationError;

/// What containerd gives a container that asks for nothing, without CAP_MKNOD: in the guest a device node is a way to the pod's
/// own disks.
const DEFAULT: [Capability; 13] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// All that Linux has (linux/capability.h). The agent leaves out what its kernel doesn't know.
const ALL: [Capability; 41] = [
    Capability::AuditControl,
    Capability::AuditRead,
    Capability::AuditWrite,
    Capability::BlockSuspend,
    Capability::Bpf,
    Capability::CheckpointRestore,
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::Kill,
    Capability::Lease,
    Capability::LinuxImmutable,
    Capability::MacAdmin,
    Capability::MacOverride,
    Capability::Mknod,
    Capability::NetAdmin,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetRaw,
    Capability::Perfmon,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysChroot,
    Capability::Syslog,
    Capability::SysModule,
    Capability::SysNice,
    Capability::SysPacct,
    Capability::SysPtrace,
    Capability::SysRawio,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::WakeAlarm,
];

/// The word for all of them in a list of changes.
const EVERY: &str = "ALL";

/// The sets of a process. One that isn't root loses what is not ambient when it executes its command (capabilities(7)).
pub(super) fn capabilities(security: &Security) -> Result<LinuxCapabilities, SpecificationError> {
    let changes = &security.capabilities;
    let mut ambient = named(&changes.add_ambient)?;
    let given = if security.privileged {
        ALL.into_iter().collect()
    } else {
        let mut given = changed(changes)?;
        for capability in named(&changes.drop)? {
            ambient.remove(&capability);
        }
        given.extend(&ambient);
        given
    };
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(given.clone())
        .effective(given.clone())
        .permitted(given)
        // An ambient capability has to be inheritable as well; no other is, so that a file's inheritable ones give nothing.
        .inheritable(ambient.clone())
        .ambient(ambient)
        .build()?)
}

fn changed(changes: &CapabilityChanges) -> Result<Capabilities, SpecificationError> {
    let says_all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(EVERY));
    let mut given: Capabilities = match (says_all(&changes.drop), says_all(&changes.add)) {
        (true, _) => Capabilities::new(),
        (false, true) => ALL.into_iter().collect(),
        (false, false) => DEFAULT.into_iter().collect(),
    };
    given.extend(named(&changes.add)?);
    for capability in named(&changes.drop)? {
        given.remove(&capability);
    }
    Ok(given)
}

/// Those that are named, without the word for all.
fn named(names: &[String]) -> Result<Capabilities, SpecificationError> {
    let single = names
        .iter()
        .filter(|name| !name.eq_ignore_ascii_case(EVERY));
    single.map(|name| parse(name)).collect()
}

/// A name in any case, with or without `CAP_`.
pub(super) fn parse(name: &str) -> Result<Capability, SpecificationError> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    bare.parse()
        .map_err(|_unknown| SpecificationError::Capability {
            name: name.to_owned(),
        })
}

#[cfg(test)]
mod tests;
