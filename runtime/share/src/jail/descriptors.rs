//! Nothing inherited but standard input, output and error. Main function: [`close_inherited`].

use std::{fs, io, os::fd::RawFd};

/// First descriptor beyond those.
const FIRST: RawFd = 3;

/// Closes what a launcher leaked into the process. Call it before anything is opened.
pub fn close_inherited() -> io::Result<()> {
    let listed = fs::read_dir("/proc/self/fd")?.map(|entry| {
        let name = entry?.file_name();
        Ok(name.to_str().and_then(|name| name.parse::<RawFd>().ok()))
    });
    let listed = listed.collect::<io::Result<Vec<_>>>()?;
    for number in listed.into_iter().flatten().filter(|fd| *fd >= FIRST) {
        match nix::unistd::close(number) {
            // The folder's own descriptor was in the list and is closed already.
            Ok(()) | Err(nix::errno::Errno::EBADF) => (),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
