//! One request on a new connection, and what follows it. Main type: [`Door`]. Above: `server`, which accepts. Below: `agree`, `token`.
//!
//! Nothing is told to who has no valid token: every other path, used token and unknown token is the same 404. A head that is long or slow
//! ends the connection.

use std::{convert::Infallible, future::ready, sync::Arc};

use hyper::{
    Method, Request,
    server::conn::http1,
    service::service_fn,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{
    agree::{self, CommandProtocol, ForwardProtocol, Transport},
    backend::{PortForward, Session},
    deadlines::Deadlines,
    hangup::Hangup,
    limits,
    remote_command::Command,
    spdy::Socket,
    token::Tokens,
};

mod answer;

use answer::Refused;

/// What decides who may come in.
pub(crate) struct Door {
    pub(crate) tokens: Arc<Tokens>,
    /// One permit for each session that may be.
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) deadlines: Deadlines,
}

/// Who came in: what for, and the connection.
pub(crate) struct Arrival<S> {
    pub(crate) purpose: Purpose,
    pub(crate) socket: Socket<ReadHalf<S>, WriteHalf<S>>,
    /// Its place among the sessions.
    pub(crate) place: OwnedSemaphorePermit,
}

/// A session, and how it is spoken about.
#[derive(Debug)]
pub(crate) enum Purpose {
    Command(Command, CommandProtocol),
    Forward(PortForward, ForwardProtocol),
}

struct Welcome {
    purpose: Purpose,
    transport: Transport,
    protocol: &'static str,
    place: OwnedSemaphorePermit,
}

impl Door {
    /// Answers requests until one of them is a session's; `None` if none was in time.
    pub(crate) async fn receive<S>(&self, io: S, hangup: Hangup) -> Option<Arrival<S>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (come_in, mut came_in) = mpsc::channel::<(OnUpgrade, Welcome)>(1);
        let service = service_fn(|mut request| {
            let answer = match self.decide(&request) {
                Ok(welcome) => {
                    let answer = answer::upgraded(&welcome, request.headers());
                    let upgrade = upgrade::on(&mut request);
                    // There is one upgrade on a connection, so there is room.
                    come_in
                        .try_send((upgrade, welcome))
                        .map_or_else(|_full| answer::refused(Refused::NotFound), |()| answer)
                }
                Err(refused) => answer::refused(refused),
            };
            ready(Ok::<_, Infallible>(answer))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.deadlines.request)
            .max_buf_size(limits::REQUEST_HEAD_BYTES)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        match timeout(self.deadlines.request.saturating_mul(2), connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a streaming connection failed"),
            Err(_elapsed) => tracing::debug!("a streaming connection was too slow"),
        }
        let (upgrade, welcome) = came_in.try_recv().ok()?;
        let upgraded = upgrade.await;
        let upgraded = upgraded
            .inspect_err(|error| tracing::debug!(%error, "a streaming connection was not upgraded"))
            .ok()?;
        let parts = upgraded.downcast::<TokioIo<S>>().ok()?;
        let (reader, writer) = tokio::io::split(parts.io.into_inner());
        Some(Arrival {
            purpose: welcome.purpose,
            socket: Socket {
                reader,
                writer,
                // What a client sent right behind its head.
                buffered: parts.read_buf,
                hangup,
            },
            place: welcome.place,
        })
    }

    fn decide<B>(&self, request: &Request<B>) -> Result<Welcome, Refused> {
        let path = request.uri().path().strip_prefix('/');
        let in_path = path.and_then(|path| path.split_once('/'));
        let (kind, token) = in_path.ok_or(Refused::NotFound)?;
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return Err(Refused::Method);
        }
        // The place first: a client that finds none may come again with its token.
        let place = Arc::clone(&self.sessions).try_acquire_owned();
        let place = place.map_err(|_none_left| Refused::Full)?;
        let session = self.tokens.take(token).ok_or(Refused::NotFound)?;
        if kind != kind_in_path(&session) {
            return Err(Refused::NotFound);
        }
        let command = match session {
            Session::Exec(exec) => Command::Exec(exec),
            Session::Attach(attach) => Command::Attach(attach),
            Session::PortForward(forward) => return welcome_forward(forward, request, place),
        };
        let agreed = agree::command(request.headers()).map_err(Refused::Disagreed)?;
        Ok(Welcome {
            purpose: Purpose::Command(command, agreed.protocol),
            transport: agreed.transport,
            protocol: agreed.name,
            place,
        })
    }
}

fn welcome_forward<B>(
    forward: PortForward,
    request: &Request<B>,
    place: OwnedSemaphorePermit,
) -> Result<Welcome, Refused> {
    let agreed = agree::forward(request.headers()).map_err(Refused::Disagreed)?;
    let by_channels = matches!(agreed.protocol, ForwardProtocol::WebSocket(_));
    if by_channels && !(1..=limits::PORTS).contains(&forward.ports.len()) {
        return Err(Refused::Ports);
    }
    Ok(Welcome {
        purpose: Purpose::Forward(forward, agreed.protocol),
        transport: agreed.transport,
        protocol: agreed.name,
        place,
    })
}

/// What stands before the token in a URL.
pub(crate) fn kind_in_path(session: &Session) -> &'static str {
    match session {
        Session::Exec(_) => "exec",
        Session::Attach(_) => "attach",
        Session::PortForward(_) => "portforward",
    }
}
