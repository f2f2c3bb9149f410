//! The threads that serve. Main function: [`serve`]. Above: `main`. Below: [`Session`], which answers one message.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Barrier,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use rustix::{io::Errno, net::RecvFlags};
use seccompiler::BpfProgram;
use thiserror::Error;

use crate::{
    jail::filter::{self, FilterError},
    limits::{MESSAGE_BYTES, THREADS},
    session::Session,
};

/// Why the server does not serve, or not any more.
#[derive(Debug, Error)]
pub enum ServeError {
    /// No thread runs without its filter.
    #[error("put a thread under its filter")]
    Filter(#[from] FilterError),
    /// The kernel has none left.
    #[error("make a thread")]
    Thread(#[source] io::Error),
    /// What one thread makes would have the umask of another's message.
    #[error("give a thread a umask of its own")]
    Umask(#[source] io::Error),
    /// Nobody listens to what is said at the start.
    #[error("say that the share server is ready")]
    Ready,
    /// The socket failed.
    #[error("receive a message from the guest")]
    Receive(#[source] io::Error),
}

/// Serves until the socket's other end is closed. `ready` is called when every thread is under its filter.
pub fn serve(
    session: &Session,
    socket: &OwnedFd,
    ready: impl FnOnce() -> bool,
) -> Result<(), ServeError> {
    let program = filter::compile()?;
    let gate = Barrier::new(THREADS);
    thread::scope(|scope| {
        let others = (1..THREADS).map(|number| {
            let (program, gate) = (&program, &gate);
            thread::Builder::new()
                .name(format!("share {number}"))
                .spawn_scoped(scope, move || {
                    let installed = prepare(program);
                    gate.wait();
                    installed?;
                    listen(session, socket.as_fd())
                })
        });
        let others: Result<Vec<_>, _> = others.collect();
        let others = others.map_err(ServeError::Thread);
        let Ok(others) = others else {
            // Those that were made wait at the gate for ever: only the end of the process frees them.
            return others.map(drop);
        };
        let installed = prepare(&program);
        gate.wait();
        installed?;
        if !ready() {
            return Err(ServeError::Ready);
        }
        listen(session, socket.as_fd())?;
        for other in others {
            // A panic ends the process by itself.
            other.join().unwrap_or(Ok(()))?;
        }
        Ok(())
    })
}

/// A thread's umask is its own from here on, and it is under the filter.
fn prepare(program: &BpfProgram) -> Result<(), ServeError> {
    unshare(CloneFlags::CLONE_FS).map_err(|errno| ServeError::Umask(errno.into()))?;
    Ok(filter::install(program)?)
}

/// Answers messages until there will be no more.
fn listen(session: &Session, socket: BorrowedFd<'_>) -> Result<(), ServeError> {
    let mut request = vec![0; MESSAGE_BYTES];
    let mut reply = vec![0; MESSAGE_BYTES];
    loop {
        match rustix::net::recv(socket, &mut request[..], RecvFlags::TRUNC) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(()),
            Ok((_, length)) => {
                // One that was cut off comes from no monitor of ours: nobody waits for an answer.
                if let Some(request) = request.get_mut(..length) {
                    session.answer(request, &mut reply, socket);
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(ServeError::Receive(errno.into())),
        }
    }
}
