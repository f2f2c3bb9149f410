//! AppArmor in the guest's kernel: loads policy of the node for the containers that are to run under it. Main function: [`load`]. Above: `rpc`.
//!
//! securityfs is mounted where no path leads, for as long as a load takes: containers see nothing of it.

use std::{io, os::fd::OwnedFd};

use agent::MAX_APPARMOR_BYTES;
use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

use crate::{arguments::Setting, fault::Fault, machine, start::blocking};

/// Takes whole policies only: what is written at once, from the beginning (security/apparmor/apparmorfs.c).
const REPLACE: &str = "apparmor/.replace";

/// Loads a compiled policy, in the place of that of the same names.
pub(crate) async fn load(setting: &Setting, policy: Vec<u8>) -> Result<(), Fault> {
    if !setting.guest {
        return Err(Fault::invalid(
            "AppArmor policy is loaded by the agent of a guest only: a host has its own",
        ));
    }
    let length = policy.len();
    if !(1..=MAX_APPARMOR_BYTES).contains(&length) {
        return Err(Fault::invalid(format!(
            "the AppArmor policy has {length} bytes: 1 to {MAX_APPARMOR_BYTES} are possible"
        )));
    }
    blocking(move || load_below(&securityfs()?, &policy)).await
}

fn load_below(root: &OwnedFd, policy: &[u8]) -> Result<(), Fault> {
    let door = openat(
        root,
        REPLACE,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let door = door.map_err(|errno| match errno {
        Errno::NOENT => absent(),
        errno => Fault::internal_io("open the kernel's door for AppArmor policy", &errno.into()),
    })?;
    match rustix::io::write(&door, policy) {
        Ok(written) if written == policy.len() => Ok(()),
        Ok(written) => Err(Fault::internal_io(
            "load the AppArmor policy",
            &io::Error::other(format!("the kernel took {written} bytes of it")),
        )),
        Err(errno) => Err(unloaded(errno)),
    }
}

fn absent() -> Fault {
    let release = machine::kernel_release();
    Fault::precondition(format!(
        "the guest's kernel ({release}) has no AppArmor, or it is off"
    ))
}

/// By two of its answers a kernel says that it does not understand a policy (security/apparmor/policy_unpack.c).
fn unloaded(errno: Errno) -> Fault {
    let error = io::Error::from(errno);
    match errno {
        Errno::PROTO | Errno::PROTONOSUPPORT => {
            let release = machine::kernel_release();
            Fault::precondition(format!(
                "the guest's kernel ({release}) does not take the AppArmor policy, which was compiled for another: {error}"
            ))
        }
        _ => Fault::internal_io("load the AppArmor policy", &error),
    }
}

/// The root of a securityfs that is mounted nowhere.
fn securityfs() -> Result<OwnedFd, Fault> {
    let mounted = || -> rustix::io::Result<OwnedFd> {
        let context = fsopen("securityfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )
    };
    mounted().map_err(|errno| match errno {
        // This kernel has no such file system.
        Errno::NODEV => absent(),
        errno => Fault::internal_io("mount securityfs", &errno.into()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::fault::FaultKind;

    #[test]
    fn policy_goes_whole_through_the_kernels_door_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = OwnedFd::from(File::open(folder.path()).unwrap());
        let fault = load_below(&root, b"policy").unwrap_err();
        assert_eq!(fault.kind, FaultKind::FailedPrecondition);
        assert!(fault.message.contains("has no AppArmor"), "{fault:?}");
        fs::create_dir(folder.path().join("apparmor")).unwrap();
        let door = folder.path().join(REPLACE);
        fs::write(&door, "").unwrap();
        load_below(&root, b"policy").unwrap();
        assert_eq!(fs::read(&door).unwrap(), b"policy");
    }

    #[test]
    fn refusals_of_the_kernel_are_told_from_failures() {
        let check = |errno, kind, words: &str| {
            let fault = unloaded(errno);
            assert_eq!(fault.kind, kind, "{fault:?}");
            assert!(fault.message.contains(words), "{fault:?}");
        };
        let refused = FaultKind::FailedPrecondition;
        check(Errno::PROTONOSUPPORT, refused, "compiled for another");
        check(Errno::PROTO, refused, "compiled for another");
        check(
            Errno::NOMEM,
            FaultKind::Internal,
            "load the AppArmor policy: ",
        );
    }
}
