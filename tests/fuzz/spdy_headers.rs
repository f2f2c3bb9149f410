//! Header blocks of a hostile client, one after the other through one compression: no panic, no more headers than may be, and a block
//! that is malformed by itself leaves the next readable. With an odd first byte what follows is compressed first, so that the parser
//! behind the inflater is reached; otherwise it is the compressed bytes themselves.

#![no_main]

use flate2::{Compress, Compression, FlushCompress};
use libfuzzer_sys::fuzz_target;
use streaming::spdy::{HeaderError, Inflater};

fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else {
        return;
    };
    match kind & 1 {
        1 => plain(bytes),
        _ => compressed(bytes),
    }
});

/// Blocks of 255 bytes at most, each behind its length.
fn blocks(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    while let [length, rest @ ..] = bytes {
        let (block, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        blocks.push(block);
        bytes = rest;
    }
    blocks
}

fn compressed(bytes: &[u8]) {
    let mut inflater = Inflater::default();
    for block in blocks(bytes) {
        match inflater.headers(block) {
            Ok(_) | Err(HeaderError::Malformed(_)) => {}
            Err(_lost) => return,
        }
    }
}

fn plain(bytes: &[u8]) {
    let mut inflater = Inflater::default();
    let mut compress = Compress::new(Compression::fast(), true);
    let blocks = blocks(bytes);
    // At the end one that is right, for nothing before it may have put the compression out of step.
    for block in blocks.into_iter().chain([&[0; 4][..]]) {
        let mut deflated = Vec::with_capacity(1 << 10);
        let flush = FlushCompress::Sync;
        compress
            .compress_vec(block, &mut deflated, flush)
            .expect("there is room");
        match inflater.headers(&deflated) {
            Ok(_) | Err(HeaderError::Malformed(_)) => {}
            Err(lost) => panic!("{block:?}: {lost}"),
        }
    }
}
