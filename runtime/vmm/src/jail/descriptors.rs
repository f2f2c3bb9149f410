//! Nothing inherited but the launch socket. Main function: [`close_inherited`].

use std::{fs, io, os::fd::RawFd};

/// First descriptor beyond standard input (the launch socket), output and error.
const FIRST: RawFd = 3;

/// Closes what a launcher leaked into the process (a shell's or a supervisor's descriptors). Call it before anything is opened.
pub(crate) fn close_inherited() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<RawFd>().ok()),
        );
    }
    for number in open.into_iter().filter(|number| *number >= FIRST) {
        match nix::unistd::close(number) {
            // The folder's own descriptor was in the list and is closed already.
            Ok(()) | Err(nix::errno::Errno::EBADF) => (),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
