//! Whose a process's standard streams are: its user's, so that it can open them again by their names, /dev/stdout and the like. Main
//! functions: [`own_pipes`], in the launcher, and [`own_terminal`], in the process itself.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{FileType, Uid, fchown, fstat},
    stdio,
};

use crate::failure::Failure;

/// `uid` is the guest's. What is no pipe is the agent's own /dev/null.
pub(crate) fn own_pipes(streams: &[OwnedFd], uid: u32) -> Result<(), Failure> {
    let own = |stream: &OwnedFd| {
        let about = fstat(stream)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Fifo if about.st_uid != uid => fchown(stream, Some(Uid::from_raw(uid)), None),
            _ => Ok(()),
        }
    };
    let owned: rustix::io::Result<()> = streams.iter().try_for_each(own);
    owned.map_err(|errno| Failure::internal("give the streams to the user", &errno))
}

/// `uid` is the one that the calling process knows. Its group stays: the one of terminals.
pub(crate) fn own_terminal(uid: u32) -> Result<(), Failure> {
    fchown(stdio::stdin(), Some(Uid::from_raw(uid)), None)
        .map_err(|errno| Failure::internal("give the terminal to the user", &errno))
}
