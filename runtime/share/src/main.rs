//! cofferdam-share, the share server: one process for the folders that one pod shares with its host. `share-client` starts it, with a
//! socket as standard input; the monitor's file system device has the socket's other end. Below: fuse-backend-rs, which turns messages
//! of FUSE into system calls.
//!
//! ```text
//! start ─► nothing inherited ─► jail: namespaces, a root with empty mount points, few capabilities
//!       ─► threads, each under the filter ─► "ready" on standard output ─► messages ─► the socket's end ─► exit
//! ```
//!
//! It serves one tree, `/shares` of its own root. Folders are mounted in there from outside while it runs; it opens no path of the host,
//! and can't mount.

use std::{
    error::Error,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};

use rustix::net::{SocketType, sockopt};
use share::{jail, limits, serve, session::Session};
use thiserror::Error;

const HELP: &str = "\
cofferdam-share: shares folders of the host with one pod of cofferdam.

It is started by cofferdam, with a socket as its standard input, and is of no use by itself: see `cofferdam serve --help`.

  --help     this text
  --version  the version
";

/// The command line was wrong, or the server could not be started.
const USAGE: u8 = 2;
const NO_SERVER: u8 = 1;

/// Why it was not started as it should be.
#[derive(Debug, Error)]
enum StartError {
    /// Started by hand, or by something else.
    #[error(
        "standard input is not a share's socket: cofferdam-share is started by cofferdam, see `cofferdam serve --help`"
    )]
    NotASocket,
    /// How many mount points?
    #[error(
        "give the number of mount points, from 1 to {}; cofferdam does",
        limits::MOUNT_POINTS
    )]
    MountPoints,
    /// The kernel refused.
    #[error("take the share's socket")]
    Socket(#[source] io::Error),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    let first = first.as_deref().and_then(std::ffi::OsStr::to_str);
    let outcome = match first {
        Some("--help" | "-h") => return say(HELP),
        Some("--version" | "-V") => {
            return say(concat!("cofferdam-share ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        number => start(number),
    };
    let (socket, mount_points) = match outcome {
        Ok(started) => started,
        Err(error) => return complain(&error, USAGE),
    };
    match run(&socket, mount_points) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&*error, NO_SERVER),
    }
}

fn start(number: Option<&str>) -> Result<(OwnedFd, u16), StartError> {
    let input = io::stdin();
    if sockopt::socket_type(&input) != Ok(SocketType::SEQPACKET) {
        return Err(StartError::NotASocket);
    }
    let number = number.and_then(|number| number.parse().ok());
    let number = number.filter(|number| (1..=limits::MOUNT_POINTS).contains(number));
    let number = number.ok_or(StartError::MountPoints)?;
    jail::descriptors::close_inherited().map_err(StartError::Socket)?;
    let socket = input.as_fd().try_clone_to_owned();
    Ok((socket.map_err(StartError::Socket)?, number))
}

/// From the jail to the end of the socket.
fn run(socket: &OwnedFd, mount_points: u16) -> Result<(), Box<dyn Error>> {
    jail::shut(mount_points)?;
    let session = Session::new(jail::TREE)?;
    serve::serve(&session, socket, || say("ready\n") == ExitCode::SUCCESS)?;
    Ok(())
}

fn say(text: &str) -> ExitCode {
    let mut output = io::stdout();
    let written = output.write_all(text.as_bytes());
    match written.and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(NO_SERVER),
    }
}

/// Complains on standard error, with all causes.
fn complain(error: &dyn Error, status: u8) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    // Where nobody can be told, the status has to do.
    drop(writeln!(io::stderr(), "cofferdam-share: {text}"));
    ExitCode::from(status)
}
