//! The main thread's loop: requests of clients, the launcher's presence, and the machine's end. Main type: [`Control`].

mod answer;
pub(crate) use answer::bounded;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use monitor::{EndReason, Ending, Lifetime, Reply, Request, limits};
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};

use crate::{
    assemble::Machine,
    last_words::{Cause, Ear},
    poll::{Poll, Token},
};

const ENDINGS: Token = 0;
const LAUNCHER: Token = 1;
const LISTENER: Token = 2;
const FIRST_CLIENT: Token = 3;

/// What the main thread owns while the machine runs.
#[derive(Debug)]
pub(crate) struct Control {
    poll: Poll,
    ear: Ear,
    /// Until the launcher goes away.
    launcher: Option<OwnedFd>,
    lifetime: Lifetime,
    listener: OwnedFd,
    clients: BTreeMap<Token, OwnedFd>,
    next: Token,
    machine: Machine,
}

impl Control {
    pub(crate) fn new(
        machine: Machine,
        ear: Ear,
        launcher: OwnedFd,
        lifetime: Lifetime,
        listener: OwnedFd,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&ear, ENDINGS)?;
        poll.add(&launcher, LAUNCHER)?;
        rustix::io::ioctl_fionbio(&listener, true)?;
        poll.add(&listener, LISTENER)?;
        Ok(Self {
            poll,
            ear,
            launcher: Some(launcher),
            lifetime,
            listener,
            clients: BTreeMap::new(),
            next: FIRST_CLIENT,
            machine,
        })
    }

    /// Says something to the launcher. One that is gone or does not listen is noticed elsewhere.
    pub(crate) fn tell_launcher(&self, reply: &Reply) {
        if let Some(launcher) = &self.launcher {
            drop(monitor::send(launcher, reply, &[]));
        }
    }

    /// Runs until the machine is over, and says why to everybody.
    pub(crate) fn run(mut self) -> EndReason {
        let cause = loop {
            match self.turn() {
                Ok(None) => (),
                Ok(Some(cause)) => break cause,
                Err(error) => break Cause::internal(&error),
            }
        };
        let reason = cause.reason;
        let ending = Reply::Ended(self.ending(cause));
        self.tell_launcher(&ending);
        for client in self.clients.values() {
            // A client that does not read loses its last message.
            drop(monitor::send(client, &ending, &[]));
        }
        // The kernel takes the machine back at once, with the process. Taking it apart in order would cost hundreds of calls and
        // would wait for disks.
        std::mem::forget(self);
        reason
    }

    fn turn(&mut self) -> io::Result<Option<Cause>> {
        for token in self.poll.wait()? {
            let cause = match token {
                ENDINGS => self.ear.heard(),
                LAUNCHER => self.hear_launcher()?,
                LISTENER => self.accept().map(|()| None)?,
                client => self.serve(client)?,
            };
            if cause.is_some() {
                return Ok(cause);
            }
        }
        Ok(None)
    }

    /// The launcher has nothing more to say, so it has gone, whatever comes.
    fn hear_launcher(&mut self) -> io::Result<Option<Cause>> {
        if let Some(launcher) = self.launcher.take() {
            self.poll.remove(&launcher)?;
        }
        Ok(match self.lifetime {
            Lifetime::UntilStopped => None,
            Lifetime::WithLauncher => {
                let text = "the program that launched the machine is gone";
                Some(Cause::new(EndReason::LauncherGone, text))
            }
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let client = match accept_with(&self.listener, flags) {
            Ok(client) => client,
            // It went away again before we looked.
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if self.clients.len() >= limits::CONTROL_CONNECTIONS {
            let reason = format!("{} clients are connected already", self.clients.len());
            drop(monitor::send(&client, &Reply::Refused { reason }, &[]));
            return Ok(());
        }
        self.poll.add(&client, self.next)?;
        self.clients.insert(self.next, client);
        self.next += 1;
        Ok(())
    }

    /// Answers one request of a client. One that can't be talked to is let go.
    fn serve(&mut self, token: Token) -> io::Result<Option<Cause>> {
        let Some(client) = self.clients.get(&token) else {
            return Ok(None);
        };
        let stays = match monitor::receive::<Request>(client) {
            Ok(Some(received)) if received.message == Request::Stop => {
                return Ok(Some(Cause::new(
                    EndReason::Stopped,
                    "a client stopped the machine",
                )));
            }
            Ok(Some(received)) => answer::answer(&mut self.machine, client, received),
            Ok(None) => false,
            Err(error) if error.would_block() => true,
            Err(error) => answer::refuse(client, &error),
        };
        if !stays && let Some(client) = self.clients.remove(&token) {
            self.poll.remove(&client)?;
        }
        Ok(None)
    }

    fn ending(&self, cause: Cause) -> Ending {
        let tail = self.machine.board.console_tail();
        let start = tail.len().saturating_sub(limits::CONSOLE_TAIL_BYTES);
        let tail = tail.get(start..).unwrap_or_default();
        Ending {
            reason: cause.reason,
            text: answer::bounded(cause.text),
            console_tail: String::from_utf8_lossy(tail).into_owned(),
        }
    }
}
