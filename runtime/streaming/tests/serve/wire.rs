//! Rules of SPDY/3.1 as Kubernetes' clients lean on them, and what happens to who breaks them.

use std::io::{Read, Write};

use harness::spdy::command::Command;
use harness::spdy::{Client, Frame, connect, request};

use crate::bench::{ALL, Bench};

fn client(bench: &Bench, line: &str) -> Client {
    Client::upgrade(&bench.exec(line, ALL), &["v4.channel.k8s.io"]).unwrap()
}

/// The server says GOAWAY with PROTOCOL_ERROR and closes.
fn check_broken(bench: &Bench, mut client: Client) {
    let frames = client.reader.rest().unwrap();
    assert!(
        matches!(frames.last(), Some(Frame::GoAway { status: 1, .. })),
        "{frames:?}"
    );
    bench.check_well();
}

#[test]
fn end_of_a_command_has_its_order() {
    let bench = Bench::new();
    let command = Command::open(&bench.exec("exit 3 out err", ALL), ALL).unwrap();
    let Command {
        mut client,
        error,
        stdin,
        stdout,
        stderr,
        ..
    } = command;
    let frames = client.reader.rest().unwrap();
    let place = |wanted: &dyn Fn(&Frame) -> bool| {
        frames
            .iter()
            .position(wanted)
            .unwrap_or_else(|| panic!("{frames:?}"))
    };
    let end_of = |wanted: u32| {
        place(&|frame| matches!(frame, Frame::Data { stream, fin: true, .. } if *stream == wanted))
    };
    let status = place(
        &|frame| matches!(frame, Frame::Data { stream, bytes, .. } if *stream == error && !bytes.is_empty()),
    );
    assert!(
        end_of(stdout) < status && end_of(stderr) < status,
        "{frames:?}"
    );
    assert!(status < end_of(error), "{frames:?}");
    let reset =
        place(&|frame| matches!(frame, Frame::Reset { stream, status: 5 } if *stream == stdin));
    assert!(end_of(error) < reset, "{frames:?}");
    let last = Frame::GoAway {
        last: stderr,
        status: 0,
    };
    assert_eq!(frames.last(), Some(&last));
}

#[test]
fn frames_right_behind_the_request_are_not_lost() {
    let bench = Bench::new();
    let url = bench.exec("exit 0", ALL);
    let mut stream = connect(&url).unwrap();
    let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1];
    let (host, path) = harness::spdy::split_url(&url).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), &ping].concat())
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&ping) {
        let mut piece = [0; 256];
        let length = stream.read(&mut piece).unwrap();
        assert_ne!(length, 0, "{answer:?}");
        answer.extend(&piece[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn pings_of_the_client_are_echoed() {
    let bench = Bench::new();
    let mut client = client(&bench, "exit 0");
    for id in [1, 3, 0xffff_ffff] {
        client.writer.ping(id).unwrap();
        assert_eq!(client.reader.next().unwrap(), Some(Frame::Ping { id }));
    }
    // An even number answers one of the server's; there is none.
    client.writer.ping(2).unwrap();
    client.writer.ping(5).unwrap();
    assert_eq!(client.reader.next().unwrap(), Some(Frame::Ping { id: 5 }));
}

#[test]
fn frames_of_no_use_are_passed_over() {
    let bench = Bench::new();
    let mut client = client(&bench, "exit 0");
    let writer = &mut client.writer;
    writer
        .control(4, 0, &[0, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 0])
        .unwrap();
    writer.control(9, 0, &[0, 0, 0, 1, 0, 1, 0, 0]).unwrap();
    writer.control(99, 0, b"what is this").unwrap();
    writer.data(77, b"nobody opened this", true).unwrap();
    writer.reset(77).unwrap();
    // Headers belong to the compression, wherever they come.
    let block = writer.block(&[("later", "header")]).unwrap();
    writer
        .control(8, 0, &[&[0, 0, 0, 1], &block[..]].concat())
        .unwrap();
    client.open(&[("streamtype", "error")]).unwrap();
}

#[test]
fn refused_stream_leaves_the_compression_in_step() {
    let bench = Bench::new();
    let mut client = client(&bench, "cat");
    let wrong: [&[(&str, &str)]; 6] = [
        &[("streamtype", "resize")],
        &[("streamtype", "audio")],
        &[],
        &[("StreamType", "error")],
        &[("streamtype", "error"), ("streamtype", "error")],
        &[("", "error")],
    ];
    for headers in wrong {
        let stream = client.writer.open(headers).unwrap();
        let frame = client.reader.next().unwrap();
        let refused =
            matches!(frame, Some(Frame::Reset { stream: reset, status: 1 | 3 }) if reset == stream);
        assert!(refused, "{headers:?}: {frame:?}");
    }
    let error = client.open(&[("streamtype", "error")]).unwrap();
    let again = client.writer.open(&[("streamtype", "error")]).unwrap();
    assert_eq!(
        client.reader.next().unwrap(),
        Some(Frame::Reset {
            stream: again,
            status: 3
        })
    );
    let stdin = client.open(&[("streamtype", "stdin")]).unwrap();
    let stdout = client.open(&[("streamtype", "stdout")]).unwrap();
    let stderr = client.open(&[("streamtype", "stderr")]).unwrap();
    let command = Command {
        client,
        error,
        stdin,
        stdout,
        stderr,
        resize: 0,
    };
    assert_eq!(command.finish(&b"in step"[..]).unwrap().stdout, b"in step");
}

#[test]
fn stream_numbers_that_can_t_be_end_the_connection() {
    let bench = Bench::new();
    for number in [0, 2, 4] {
        let mut client = client(&bench, "cat");
        client
            .writer
            .open_as(number, &[("streamtype", "error")])
            .unwrap();
        check_broken(&bench, client);
    }
    for number in [1, 3, 5] {
        let mut client = client(&bench, "cat");
        client
            .writer
            .open_as(5, &[("streamtype", "error")])
            .unwrap();
        assert_eq!(
            client.reader.next().unwrap(),
            Some(Frame::Reply { stream: 5 })
        );
        client
            .writer
            .open_as(number, &[("streamtype", "stdin")])
            .unwrap();
        check_broken(&bench, client);
    }
}

#[test]
fn frames_that_are_none_end_the_connection() {
    let bench = Bench::new();
    let frames: [&[u8]; 6] = [
        // Another version; data of stream 0; a reset of stream 0.
        &[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 1, 7],
        &[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5],
        // Too short for its type; longer than any may be; a block that is no zlib.
        &[0x80, 3, 0, 1, 0, 0, 0, 3, 1, 2, 3],
        &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
        &[
            0x80, 3, 0, 1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4,
        ],
    ];
    for frame in frames {
        let mut client = client(&bench, "cat");
        client.writer.raw(frame).unwrap();
        check_broken(&bench, client);
    }
}

#[test]
fn headers_that_inflate_without_end_end_the_connection() {
    let bench = Bench::new();
    let mut client = client(&bench, "cat");
    let block = client.writer.deflate(&vec![0; 4 << 20]).unwrap();
    assert!(block.len() < 8 << 10);
    let body = [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &block[..]].concat();
    client.writer.control(1, 0, &body).unwrap();
    check_broken(&bench, client);
}

#[test]
fn longest_data_frame_comes_through() {
    let bench = Bench::new();
    let command = Command::open(&bench.exec("cat", ALL), ALL).unwrap();
    let (stdin, stdout) = (command.stdin, command.stdout);
    let Client {
        mut reader,
        mut writer,
    } = command.client;
    let sent = vec![b'a'; (1 << 24) - 1];
    let frames = std::thread::scope(|scope| {
        scope.spawn(|| writer.data(stdin, &sent, true).unwrap());
        reader.rest().unwrap()
    });
    let came = frames.iter().map(|frame| match frame {
        Frame::Data { stream, bytes, .. } if *stream == stdout => bytes.len(),
        _ => 0,
    });
    assert_eq!(came.sum::<usize>(), sent.len());
}

#[test]
fn stream_that_is_opened_with_its_end_is_closed() {
    let bench = Bench::new();
    let mut client = client(&bench, "cat");
    let mut open = |kind| client.open(&[("streamtype", kind)]).unwrap();
    let (error, stdout, stderr) = (open("error"), open("stdout"), open("stderr"));
    let block = client.writer.block(&[("streamtype", "stdin")]).unwrap();
    let body = [&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0], &block[..]].concat();
    client.writer.control(1, 1, &body).unwrap();
    let reply = client.reader.next().unwrap();
    assert_eq!(reply, Some(Frame::Reply { stream: 7 }));
    let command = Command {
        client,
        error,
        stdin: 0,
        stdout,
        stderr,
        resize: 0,
    };
    assert_eq!(command.finish(std::io::empty()).unwrap().code().unwrap(), 0);
}

#[test]
fn client_that_does_not_know_spdy_is_answered_before_it_is_cut_off() {
    let bench = Bench::new();
    let url = bench.exec("cat", ALL);
    let mut stream = connect(&url).unwrap();
    let lines = [
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "X-Stream-Protocol-Version: v4.channel.k8s.io",
    ];
    assert_eq!(
        request(&mut stream, "POST", &url, &lines).unwrap().status,
        101
    );
    stream
        .write_all(b"\xff\xff\xff\xffGET / HTTP/1.1\r\n\r\n")
        .unwrap();
    check_broken(&bench, Client::over(stream).unwrap());
}
