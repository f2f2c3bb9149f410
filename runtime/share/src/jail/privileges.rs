//! Limits, and the loss of all privileges but those over files. Main functions: [`limit`] and [`reduce`].

use std::io;

use rustix::{
    process::{self, DumpableBehavior, Resource, Rlimit},
    thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets},
};

use super::{AS_ROOT, JailError, refused};
use crate::limits;

/// Numbers that a capability can have; the kernel says where its own end.
const CAPABILITY_BITS: u32 = 64;

/// What serving files of all owners takes. Not CAP_MKNOD: a device node on the host is of no use to a guest, and of much to a thief;
/// pipes, sockets and whiteouts need none. CAP_DAC_READ_SEARCH makes hard links of open files (linkat(2), AT_EMPTY_PATH); that it also
/// opens files by number past every mount, the filter forbids.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETFCAP);

/// Limits what the process can use up. File sizes are not limited: the host's own file system says what fits.
pub(super) fn limit() -> Result<(), JailError> {
    for (resource, most) in [
        // A core file would hold what the guest reads and writes.
        (Resource::Core, 0),
        // Nothing here uses locked memory.
        (Resource::Memlock, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        process::setrlimit(resource, limit).map_err(refused("set resource limits", AS_ROOT))?;
    }
    descriptors().map_err(refused("set the limit of open files", AS_ROOT))
}

/// As many descriptors as we want, or as many as the launcher has where it can't give more.
fn descriptors() -> io::Result<()> {
    let both = |most| Rlimit {
        current: most,
        maximum: most,
    };
    let wanted = process::setrlimit(Resource::Nofile, both(Some(limits::DESCRIPTORS)));
    if wanted == Err(rustix::io::Errno::PERM) {
        let given = process::getrlimit(Resource::Nofile).maximum;
        return Ok(process::setrlimit(Resource::Nofile, both(given))?);
    }
    Ok(wanted?)
}

/// Keeps a few capabilities and loses the others for ever.
pub(super) fn reduce() -> Result<(), JailError> {
    thread::set_thread_groups(&[]).map_err(refused("leave all groups", AS_ROOT))?;
    drop_capabilities().map_err(refused("drop capabilities", AS_ROOT))?;
    thread::set_no_new_privs(true).map_err(refused("renounce new privileges", AS_ROOT))?;
    process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(refused("forbid core dumps and tracing", AS_ROOT))
}

fn drop_capabilities() -> io::Result<()> {
    // A file is made as the user who makes it in the guest, and the guest has checked that this user may. Here the kernel would check
    // again, without the user's further groups, which FUSE does not tell: so the change of user leaves the capabilities as they are.
    let bits = CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    thread::set_capabilities_secure_bits(bits)?;
    for number in 0..CAPABILITY_BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if KEPT.contains(capability) {
            continue;
        }
        match thread::remove_capability_from_bounding_set(capability) {
            Err(rustix::io::Errno::INVAL) => break,
            removed => removed?,
        }
    }
    thread::clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    Ok(thread::set_capabilities(None, sets)?)
}
