//! How an exec's process comes into the user namespace of its container: libcontainer joins all others and leaves it out. Main type:
//! [`Newcomer`]. Above: `executor`, which calls it when nothing is left to do as the guest's root.

use std::{fs::File, io, os::fd::AsFd};

use oci_spec::runtime::User;
use rustix::{
    process::{Gid, Uid},
    thread::{self, LinkNameSpaceType},
};

use crate::{failure::Failure, user_namespace::UserNamespace};

/// A process that is to be someone in a user namespace.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// Open, because the process can't see the guest's /proc any more.
    namespace: File,
    user: User,
    /// What the user is in the guest.
    guest_uid: u32,
}

impl Newcomer {
    pub(crate) fn new(namespace: &UserNamespace, user: User) -> Result<Self, Failure> {
        let guest_uid = namespace.mappings.user(&user)?;
        let open = File::open(&namespace.path);
        Ok(Self {
            namespace: open
                .map_err(|error| Failure::internal("open the pod's user namespace", &error))?,
            user,
            guest_uid,
        })
    }

    pub(crate) fn guest_uid(&self) -> u32 {
        self.guest_uid
    }

    /// Joins the namespace, in which it has every capability, and becomes the user, which keeps them.
    pub(crate) fn join(&self) -> Result<(), Failure> {
        self.become_user()
            .map_err(|error| Failure::internal("join the pod's user namespace", &error))
    }

    fn become_user(&self) -> io::Result<()> {
        let kind = Some(LinkNameSpaceType::User);
        thread::move_into_link_name_space(self.namespace.as_fd(), kind)?;
        let groups = self.user.additional_gids().iter().flatten();
        let groups: Vec<_> = groups.copied().map(Gid::from_raw).collect();
        thread::set_thread_groups(&groups)?;
        thread::set_keep_capabilities(true)?;
        let gid = Gid::from_raw(self.user.gid());
        thread::set_thread_res_gid(gid, gid, gid)?;
        let uid = Uid::from_raw(self.user.uid());
        thread::set_thread_res_uid(uid, uid, uid)?;
        // Leaving user 0 clears the effective ones (capabilities(7)).
        let mut sets = thread::capabilities(None)?;
        sets.effective = sets.permitted;
        Ok(thread::set_capabilities(None, sets)?)
    }
}
