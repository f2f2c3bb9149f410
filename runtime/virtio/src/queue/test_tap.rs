//! Taps of this machine's kernel for tests, in a network namespace that ends with its thread. Main function: [`in_namespace`]. Here
//! because making a tap takes an ioctl(2), and this is the crate's room for such.
#![expect(unsafe_code, reason = "ioctl(2) and unshare(2)")]

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
};

use libc::{IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, TUNSETIFF, TUNSETVNETHDRSZ, c_int, c_short, ifreq};

/// Makes a queue of the tap of this name in the thread's namespace.
pub(crate) fn tap(name: &str, more_flags: c_int) -> io::Result<OwnedFd> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::try_from(from).map_err(io::Error::other)?;
    }
    let flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | more_flags;
    request.ifr_ifru.ifru_flags = c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: `request` is a whole ifreq that lives through the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw const request) })?;
    let header: c_int = 12;
    // SAFETY: the kernel reads one int, which lives through the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETVNETHDRSZ, &raw const header) })?;
    Ok(file.into())
}

/// Runs a test on a thread in a network namespace of its own, or says that there can be none.
pub(crate) fn in_namespace(test: &str, run: impl FnOnce() + Send) {
    let enter = || {
        // SAFETY: unshare(2) touches no memory.
        done(unsafe { libc::unshare(libc::CLONE_NEWNET) }).and_then(|()| tap("probe0", 0))
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match enter() {
            Ok(tap) => {
                drop(tap);
                run();
            }
            Err(error) => println!("skip {test}: make a tap in a network namespace: {error}"),
        });
        thread.join().expect("the test did not panic");
    });
}

/// ip(8) in the thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let mut command = Command::new("ip");
    let output = command.args(arguments.split(' ')).output().expect("ip(8)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {text}");
}

fn done(returned: c_int) -> io::Result<()> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
