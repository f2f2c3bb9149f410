//! `unix-connect PATH`: joins its standard streams to a unix socket, for containers of tests; busybox has nothing that does. The end of its input is a shutdown, and it
//! ends with the end of the other side.

use std::env;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

fn main() -> io::Result<()> {
    let path = env::args_os().nth(1);
    let path = path.ok_or_else(|| io::Error::other("usage: unix-connect PATH"))?;
    let mut socket = UnixStream::connect(path)?;
    let mut to_socket = socket.try_clone()?;
    // It ends with the process, if the other side ends first.
    thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut to_socket)?;
        to_socket.shutdown(Shutdown::Write)
    });
    io::copy(&mut socket, &mut io::stdout())?;
    Ok(())
}
