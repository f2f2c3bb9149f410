//! Limits, and the loss of every privilege. Main functions: [`limit`] and [`give_up`].

use std::io;

use monitor::Identity;
use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::Mode,
    process::{self, DumpableBehavior, Gid, Resource, Rlimit, Uid},
    thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets},
};

use super::{AS_ROOT, JailError, refused};
use crate::limits::Resources;

/// Numbers that a capability can have; the kernel says where its own end.
const CAPABILITY_BITS: u32 = 64;

const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Limits what the process can use up. File sizes are not limited: a sparse disk may be as long as its launcher likes, and its
/// writes stay inside of the segments that the launcher gave.
pub(super) fn limit(resources: &Resources) -> Result<(), JailError> {
    for (resource, most) in [
        // A core file would hold the guest's memory.
        (Resource::Core, 0),
        (Resource::Nofile, resources.descriptors),
        (Resource::Memlock, resources.locked_bytes),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        process::setrlimit(resource, limit).map_err(refused("set resource limits", AS_ROOT))?;
    }
    process::umask(Mode::from_raw_mode(0o077));
    Ok(())
}

/// Becomes the given user in a user namespace of its own, without any capability, now and for ever.
///
/// The namespace is made last, as the unprivileged user and without a map of ids: inside it that user is nobody, and nobody
/// outside is known. It is made with CAP_SYS_ADMIN kept for this one call, so that hosts which forbid user namespaces to
/// ordinary users still let this one pass.
pub(super) fn give_up(identity: Identity) -> Result<(), JailError> {
    become_user(identity).map_err(refused("become the unprivileged user", AS_ROOT))?;
    let remedy = "the kernel needs user namespaces (sysctl user.max_user_namespaces above 0)";
    unshare(CloneFlags::CLONE_NEWUSER).map_err(refused("enter a user namespace", remedy))?;
    drop_capabilities().map_err(refused("drop all capabilities", AS_ROOT))?;
    thread::set_no_new_privs(true).map_err(refused("renounce new privileges", AS_ROOT))?;
    // Off last: the changes of identity before have reset it.
    process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(refused("forbid core dumps and tracing", AS_ROOT))?;
    Ok(())
}

fn become_user(identity: Identity) -> io::Result<()> {
    let uid = Uid::from_raw(identity.uid);
    let gid = Gid::from_raw(identity.gid);
    thread::set_keep_capabilities(true)?;
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)?;
    let for_namespace = CapabilitySet::SYS_ADMIN;
    let sets = CapabilitySets {
        effective: for_namespace,
        permitted: for_namespace,
        ..NONE
    };
    Ok(thread::set_capabilities(None, sets)?)
}

/// A new user namespace comes with all capabilities in it, and full bounds.
fn drop_capabilities() -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    thread::set_capabilities_secure_bits(bits)?;
    for number in 0..CAPABILITY_BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match thread::remove_capability_from_bounding_set(capability) {
            Err(rustix::io::Errno::INVAL) => break,
            removed => removed?,
        }
    }
    thread::clear_ambient_capability_set()?;
    Ok(thread::set_capabilities(None, NONE)?)
}
