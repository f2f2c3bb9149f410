//! How long a client is waited for, on a clock that jumps.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, split},
    time::Instant,
};

use super::over_spdy;
use crate::{
    agree::Version,
    backend::{Asked, Attach, Backend, Connection, Exec, Process, Refusal},
    deadlines::Deadlines,
    hangup::Hangup,
    remote_command::Command,
    spdy::Socket,
};

/// Nothing may be asked of it.
#[derive(Clone)]
struct Untouched;

impl Backend for Untouched {
    async fn exec(&self, exec: Exec) -> Result<Process, Refusal> {
        panic!("{exec:?} was started");
    }

    async fn attach(&self, attach: Attach) -> Result<Process, Refusal> {
        panic!("{attach:?} was attached to");
    }

    async fn dial(&self, sandbox: &str, port: u16) -> Result<Connection, Refusal> {
        panic!("{sandbox}:{port} was dialled");
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_opens_no_streams_is_left_after_a_while() {
    let (mut near, far) = duplex(1 << 10);
    let (reader, writer) = split(far);
    let socket = Socket {
        reader,
        writer,
        buffered: Bytes::new(),
        hangup: Hangup::never(),
    };
    let command = Command::Attach(Attach {
        container: "one".to_owned(),
        streams: Asked::default(),
    });
    let begun = Instant::now();
    let deadlines = Deadlines::scaled(1);
    // The client is there all the time, and closes nothing.
    near.write_all(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1])
        .await
        .unwrap();
    over_spdy(socket, &Untouched, command, Version::V4, &deadlines).await;
    let waited = begun.elapsed();
    let expect = deadlines.streams + deadlines.farewell;
    assert!(
        waited >= expect && waited < expect + Duration::from_secs(1),
        "{waited:?}"
    );
    let mut said = Vec::new();
    near.read_to_end(&mut said).await.unwrap();
    // The ping's echo, and GOAWAY.
    assert_eq!(said.len(), 12 + 16, "{said:?}");
    assert_eq!(said[12..16], [0x80, 3, 0, 7]);
}
