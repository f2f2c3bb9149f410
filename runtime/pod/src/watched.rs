//! Descriptors that tasks wait for. Main function: [`watched`].

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with the runtime, for what can be read from it.
#[expect(
    deprecated,
    reason = "the replacement is unsafe for types that may give another descriptor later; an OwnedFd gives its own"
)]
pub(crate) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
