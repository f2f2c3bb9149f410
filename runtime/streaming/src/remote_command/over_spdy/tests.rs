//! How long a client is waited for, on a clock that jumps.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};

use super::over_spdy;
use crate::{
    agree::Version,
    backend::{Asked, Attach, untouched::Untouched},
    deadlines::Deadlines,
    remote_command::Command,
    spdy::Socket,
};

#[tokio::test(start_paused = true)]
async fn client_that_opens_no_streams_is_left_after_a_while() {
    let (mut near, far) = duplex(1 << 10);
    let socket = Socket::within(far, Bytes::new());
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
