//! Direct transfers between guest memory and real files and sockets.

use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::FileExt, net::UnixStream},
    },
};

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::test_driver::memory;

const FIRST: GuestAddress = GuestAddress(0x1_0000);
const SECOND: GuestAddress = GuestAddress(0x10_0000);

fn writable(memory: &GuestRam, lengths: (u32, u32)) -> Writable {
    let mut writable = Writable::new(memory.clone(), 2);
    writable.0.add(FIRST, lengths.0).expect("in memory");
    writable.0.add(SECOND, lengths.1).expect("in memory");
    writable
}

fn readable(memory: &GuestRam, bytes: (&[u8], &[u8])) -> Readable {
    let mut readable = Readable::new(memory.clone(), 2);
    for (place, bytes) in [(FIRST, bytes.0), (SECOND, bytes.1)] {
        memory.write_slice(bytes, place).expect("in memory");
        let length = u32::try_from(bytes.len()).expect("a short slice");
        readable.0.add(place, length).expect("in memory");
    }
    readable
}

fn text(writable: &Writable, length: usize) -> Vec<u8> {
    let mut text = vec![0; length];
    writable.0.copy_out(0, &mut text).expect("in range");
    text
}

#[test]
fn file_read_into_a_range_fills_just_that() {
    let memory = memory();
    let mut file = tempfile::tempfile().expect("make a file");
    file.write_all(b"0123456789").expect("fill the file");
    let mut target = writable(&memory, (3, 5));
    target.copy_from(0, b"........").expect("in range");
    target.read_from_file(file.as_fd(), 4, 2..6).expect("read");
    assert_eq!(text(&target, 8), b"..4567..");
}

#[test]
fn file_read_past_its_end_is_an_error() {
    let memory = memory();
    let file = tempfile::tempfile().expect("make a file");
    file.set_len(6).expect("size the file");
    let mut target = writable(&memory, (3, 5));
    let error = target.read_from_file(file.as_fd(), 0, 0..8);
    assert_eq!(
        error.expect_err("too short").kind(),
        ErrorKind::UnexpectedEof
    );
    let error = target.read_from_file(file.as_fd(), 0, 0..9);
    assert_eq!(
        error.expect_err("past the buffers").kind(),
        ErrorKind::InvalidInput
    );
    target
        .read_from_file(file.as_fd(), u64::MAX, 0..1)
        .expect_err("no such place");
}

#[test]
fn file_written_from_a_range_holds_it() {
    let memory = memory();
    let mut file = tempfile::tempfile().expect("make a file");
    let mut source = readable(&memory, (b"abc", b"defgh"));
    source.write_to_file(file.as_fd(), 2, 1..7).expect("write");
    let mut held = Vec::new();
    std::io::Seek::rewind(&mut file).expect("rewind");
    file.read_to_end(&mut held).expect("read back");
    assert_eq!(held, b"\0\0bcdefg");
}

#[test]
fn file_of_more_pieces_than_a_call_takes_goes_over_whole() {
    let memory = memory();
    let bytes: Vec<u8> = (0..=249).cycle().take(2500).collect();
    let from = tempfile::tempfile().expect("make a file");
    from.write_all_at(&bytes, 100).expect("fill the file");
    let mut target = Writable::new(memory.clone(), 2500);
    let mut source = Readable::new(memory, 2500);
    for place in 0..2500 {
        // Every second byte, so that no two are one piece.
        let address = GuestAddress(0x1_0000 + place * 2);
        target.0.add(address, 1).expect("in memory");
        source.0.add(address, 1).expect("in memory");
    }
    let read = target.read_from_file(from.as_fd(), 100, 0..2500);
    read.expect("read");
    assert_eq!(text(&target, 2500), bytes);
    let to = tempfile::tempfile().expect("make a file");
    let written = source.write_to_file(to.as_fd(), 7, 0..2500);
    written.expect("write");
    let mut held = vec![0; 2500];
    to.read_exact_at(&mut held, 7).expect("read back");
    assert_eq!(held, bytes);
}

#[test]
fn socket_sent_and_received_carries_ranges_without_waiting() {
    let memory = memory();
    let (near, mut far) = UnixStream::pair().expect("make a pair");
    let mut source = readable(&memory, (b"abc", b"defgh"));
    assert_eq!(source.send(near.as_fd(), 2..8).expect("send"), 6);
    let mut got = [0; 6];
    far.read_exact(&mut got).expect("receive");
    assert_eq!(&got, b"cdefgh");
    let mut target = writable(&memory, (3, 5));
    let error = target.receive(near.as_fd(), 0..8).expect_err("nothing yet");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    far.write_all(b"12345").expect("send");
    assert_eq!(target.receive(near.as_fd(), 0..8).expect("receive"), 5);
    assert_eq!(&text(&target, 5), b"12345");
    drop(far);
    assert_eq!(target.receive(near.as_fd(), 0..8).expect("closed"), 0);
    // No SIGPIPE: an error.
    let error = source.send(near.as_fd(), 0..1).expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn random_numbers_fill_a_range_across_pieces() {
    let memory = memory();
    let mut target = writable(&memory, (300, 4000));
    target.fill_with_random(0..4200).expect("fill");
    let bytes = text(&target, 4300);
    let zeroes = bytes[..4200].iter().filter(|byte| **byte == 0).count();
    // Sixteen are expected; a piece left out would leave 300 at least.
    assert!(zeroes < 150, "{zeroes} zeroes");
    assert!(bytes[4200..].iter().all(|byte| *byte == 0));
}
