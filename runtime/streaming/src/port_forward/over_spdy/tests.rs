//! Halves that wait for too long, on a clock that jumps.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};

use super::over_spdy;
use crate::{backend::untouched::Untouched, deadlines::Deadlines, spdy::Socket};

/// SYN_STREAM of stream 1, with these headers.
fn syn(headers: &[(&str, &str)]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let mut plain = word(headers.len()).to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        plain.extend(word(text.len()));
        plain.extend(text.as_bytes());
    }
    let mut block = Vec::with_capacity(1 << 10);
    let mut compress = Compress::new(Compression::fast(), true);
    compress
        .compress_vec(&plain, &mut block, FlushCompress::Sync)
        .unwrap();
    let length = word(10 + block.len());
    let head = [0x80, 3, 0, 1, 0, length[1], length[2], length[3]];
    [&head[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &block].concat()
}

#[tokio::test(start_paused = true)]
async fn half_without_the_other_is_reset_after_a_while() {
    let (mut near, far) = duplex(1 << 10);
    let sent = Bytes::from(syn(&[("streamtype", "error"), ("port", "80")]));
    let socket = Socket::within(far, sent);
    let deadlines = Deadlines::scaled(1);
    let begun = Instant::now();
    let client = async {
        let mut reply = [0; 32];
        near.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[..4], [0x80, 3, 0, 2]);
        let mut reset = [0; 16];
        near.read_exact(&mut reset).await.unwrap();
        assert_eq!(reset, [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5]);
        assert!(begun.elapsed() >= deadlines.streams);
        // The connection goes on: others may be forwarded.
        near.write_all(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1])
            .await
            .unwrap();
        let mut echo = [0; 12];
        near.read_exact(&mut echo).await.unwrap();
        drop(near);
    };
    tokio::join!(client, over_spdy(socket, &Untouched, "pod", &deadlines));
}
