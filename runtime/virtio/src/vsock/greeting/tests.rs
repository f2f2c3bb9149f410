//! Tests of the greeting, over a real socket.

use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
};

use super::*;

fn check(said: &[u8], expect: Heard, left: &[u8]) {
    let (mut client, mut host) = UnixStream::pair().expect("a socket pair");
    client.write_all(said).expect("greet");
    assert_eq!(
        Greeting::default().hear(host.as_fd()),
        expect,
        "{}",
        said.escape_ascii()
    );
    host.set_nonblocking(true).expect("set non-blocking");
    let mut rest = vec![0; 100];
    let length = host.read(&mut rest).unwrap_or_default();
    assert_eq!(rest[..length], *left, "{}", said.escape_ascii());
}

#[test]
fn greeting_whole_names_a_port() {
    check(b"CONNECT 1024\n", Heard::Port(1024), b"");
    check(b"CONNECT 0\n", Heard::Port(0), b"");
    check(b"CONNECT 4294967295\n", Heard::Port(u32::MAX), b"");
    check(b"CONNECT 00000000000000000000022\n", Heard::Port(22), b"");
}

#[test]
fn greeting_with_data_behind_leaves_it() {
    check(
        b"CONNECT 7\nCONNECT 8\nhello",
        Heard::Port(7),
        b"CONNECT 8\nhello",
    );
}

#[test]
fn greeting_in_part_waits() {
    check(b"CONNECT 7", Heard::Part, b"");
    check(b"C", Heard::Part, b"");
}

#[test]
fn greeting_that_is_none_is_nonsense() {
    check(b"\n", Heard::Nonsense, b"");
    check(b"CONNECT\n", Heard::Nonsense, b"");
    check(b"CONNECT \n", Heard::Nonsense, b"");
    check(b"CONNECT 4294967296\n", Heard::Nonsense, b"");
    check(b"CONNECT -1\n", Heard::Nonsense, b"");
    check(b"CONNECT +1\n", Heard::Nonsense, b"");
    check(b"CONNECT 1 \n", Heard::Nonsense, b"");
    check(b"CONNECT 1\r\n", Heard::Nonsense, b"");
    check(b"connect 1\n", Heard::Nonsense, b"");
    check(b"GET / HTTP/1.1\r\n", Heard::Nonsense, b"");
    check(b"CONNECT \xff\n", Heard::Nonsense, b"");
    check(&[b'0'; 40], Heard::Nonsense, b"00000000");
}

#[test]
fn greeting_byte_by_byte_is_heard() {
    let (mut client, host) = UnixStream::pair().expect("a socket pair");
    let mut greeting = Greeting::default();
    for byte in b"CONNECT 5001" {
        client.write_all(&[*byte]).expect("write a byte");
        assert_eq!(greeting.hear(host.as_fd()), Heard::Part);
    }
    client.write_all(b"\n").expect("write the end");
    assert_eq!(greeting.hear(host.as_fd()), Heard::Port(5001));
}

#[test]
fn greeting_of_a_client_that_leaves_is_nonsense() {
    let (client, host) = UnixStream::pair().expect("a socket pair");
    drop(client);
    assert_eq!(Greeting::default().hear(host.as_fd()), Heard::Nonsense);
}

#[test]
fn answer_says_the_port() {
    let (mut client, host) = UnixStream::pair().expect("a socket pair");
    answer(host.as_fd(), 1_073_741_824).expect("answer");
    drop(host);
    let mut line = String::new();
    client.read_to_string(&mut line).expect("read the answer");
    assert_eq!(line, "OK 1073741824\n");
}
