//! Exec and attach: input, outputs, sizes, ends, and clients that go.

use std::io::{self, Read, Write};

use harness::spdy::command::{Command, Streams};
use harness::spdy::{Client, Frame};
use sha2::{Digest, Sha256};

use crate::backend::PIPE_BYTES;
use crate::bench::{ALL, Bench, TERMINAL};

const OUTPUT: Streams = Streams {
    stdin: false,
    stdout: true,
    stderr: true,
    tty: false,
};

#[test]
fn exec_tells_output_errors_and_exit_code() {
    let bench = Bench::new();
    for code in [0, 1, 3, 137, 255] {
        let line = format!("exit {code} out err");
        let outcome = bench.run(&line, ALL, io::empty());
        assert_eq!(outcome.code().unwrap(), code, "{}", outcome.status);
        assert_eq!(outcome.stdout, b"out");
        assert_eq!(outcome.stderr, b"err");
    }
    assert_eq!(bench.run("exit 3", OUTPUT, io::empty()).code().unwrap(), 3);
}

#[test]
fn closed_input_ends_input_only() {
    let bench = Bench::new();
    let outcome = bench.run("cat", ALL, &b"hello\n"[..]);
    assert_eq!(outcome.stdout, b"hello\n");
    assert_eq!(outcome.code().unwrap(), 0);
    assert_eq!(bench.run("cat", ALL, io::empty()).stdout, b"");
}

#[test]
fn attach_ends_with_success_and_sees_its_container() {
    let bench = Bench::new();
    let command = Command::open(&bench.attach("cat", ALL), ALL).unwrap();
    let outcome = command.finish(&b"typed"[..]).unwrap();
    assert_eq!(outcome.stdout, b"typed");
    assert_eq!(outcome.status, r#"{"status":"Success"}"#);
}

#[test]
fn command_that_can_t_start_is_told_so() {
    let bench = Bench::new();
    let outcome = bench.run("refuse", ALL, io::empty());
    let status: serde_json::Value = serde_json::from_str(&outcome.status).unwrap();
    assert_eq!(status["reason"], "InternalError");
    assert_eq!(status["message"], "container one is not running");
    for line in ["fail", "vanish"] {
        let outcome = bench.run(line, ALL, io::empty());
        assert!(
            outcome.status.contains("InternalError"),
            "{}",
            outcome.status
        );
    }
}

#[test]
fn terminal_is_told_sizes_but_no_zeros() {
    let bench = Bench::new();
    let mut command = Command::open(&bench.exec("terminal", TERMINAL), TERMINAL).unwrap();
    command.resize(0, 0).unwrap();
    command.resize(80, 24).unwrap();
    assert_eq!(command.read_until("\n").unwrap(), "80x24\n");
    // Sizes may come in pieces, and several at once.
    let resize = command.resize;
    let writer = &mut command.client.writer;
    writer.data(resize, b"{\"Width\":1", false).unwrap();
    writer
        .data(
            resize,
            b"00,\"Height\":50}\n{\"Width\":101,\"Height\":51}",
            false,
        )
        .unwrap();
    assert_eq!(command.read_until("101x51\n").unwrap(), "100x50\n101x51\n");
    // The end of input leaves a terminal as it is.
    command
        .client
        .writer
        .data(command.stdin, b"", true)
        .unwrap();
    command.resize(102, 52).unwrap();
    assert_eq!(command.read_until("\n").unwrap(), "102x52\n");
    command.resize(1, 1).unwrap();
    let frames = command.client.reader.rest().unwrap();
    assert!(
        matches!(frames.last(), Some(Frame::GoAway { status: 0, .. })),
        "{frames:?}"
    );
}

#[test]
fn sizes_that_are_none_cost_the_sizes_only() {
    let bench = Bench::new();
    let mut command = Command::open(&bench.exec("cat", TERMINAL), TERMINAL).unwrap();
    let resize = command.resize;
    command
        .client
        .writer
        .data(resize, b"not a size", false)
        .unwrap();
    command.resize(80, 24).unwrap();
    command
        .client
        .writer
        .data(command.stdin, b"still here", false)
        .unwrap();
    assert_eq!(command.read_until("here").unwrap(), "still here");
    command.client.writer.close().unwrap();
    bench.wait_for("ended", 1);
}

#[test]
fn client_that_goes_is_noticed() {
    let bench = Bench::new();
    let streams = [ALL, TERMINAL, OUTPUT];
    for (times, streams) in (1..).zip(streams) {
        let mut command = Command::open(&bench.exec("server", streams), streams).unwrap();
        command.read_until("ready").unwrap();
        command.client.writer.close().unwrap();
        bench.wait_for("client gone", times);
    }
    let mut command = Command::open(&bench.exec("server", ALL), ALL).unwrap();
    command.read_until("ready").unwrap();
    command
        .client
        .writer
        .data(command.stdin, b"12345", false)
        .unwrap();
    command.client.writer.goaway().unwrap();
    bench.wait_for("client gone", 4);
    bench.wait_for("input 5", 1);
}

#[test]
fn client_that_goes_before_its_streams_are_open_starts_nothing() {
    let bench = Bench::new();
    let mut client = Client::upgrade(&bench.exec("cat", ALL), &["v4.channel.k8s.io"]).unwrap();
    client.open(&[("streamtype", "error")]).unwrap();
    client.open(&[("streamtype", "stdin")]).unwrap();
    client.writer.close().unwrap();
    bench.check_well();
    bench.wait_for("run exit 3 out err", 1);
}

#[test]
fn much_input_and_output_come_through_whole() {
    const LENGTH: u64 = 64 << 20;
    let bench = Bench::new();
    let mut sent = Hashing::new(Numbers(0).take(LENGTH));
    let command = Command::open(&bench.exec("cat", ALL), ALL).unwrap();
    let mut received = HashOf(Sha256::new());
    let outcome = command.finish_into(&mut sent, &mut received).unwrap();
    assert_eq!(outcome.code().unwrap(), 0);
    assert_eq!(sent.length, LENGTH);
    assert_eq!(sent.hash.finalize(), received.0.finalize());
}

#[test]
fn size_and_end_come_through_beside_a_flood() {
    let bench = Bench::new();
    let open = || {
        let mut command = Command::open(&bench.exec("flood", TERMINAL), TERMINAL).unwrap();
        command.read_until(&"x".repeat(1 << 20)).unwrap();
        command
    };
    let mut command = open();
    command.resize(80, 24).unwrap();
    let outcome = command.finish(io::empty()).unwrap();
    assert_eq!(outcome.code().unwrap(), 7);
    // One that leaves: by its word, and by itself.
    open().client.writer.goaway().unwrap();
    bench.wait_for("client gone", 1);
    open().client.writer.close().unwrap();
    bench.wait_for("client gone", 2);
}

#[test]
fn input_that_nobody_reads_does_not_keep_the_end_back() {
    let bench = Bench::new();
    let command = Command::open(&bench.exec("stuck", ALL), ALL).unwrap();
    let script = bench.script.clone();
    let input = Numbers(0).take(16 << 20);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            bench.wait_for("run stuck", 1);
            script.let_go.send_replace(true);
        });
        command.finish(input).unwrap()
    });
    assert_eq!(outcome.code().unwrap(), 5);
    assert_eq!(outcome.stdout, b"ready");
}

#[test]
fn client_that_goes_is_noticed_past_input_that_nobody_reads() {
    let bench = Bench::new();
    let mut command = Command::open(&bench.exec("server", ALL), ALL).unwrap();
    command.read_until("ready").unwrap();
    // The pipe is full, then the queue; the rest lies in the server and in its socket, and so does the end.
    let (stdin, writer) = (command.stdin, &mut command.client.writer);
    writer.data(stdin, &vec![b'x'; PIPE_BYTES], false).unwrap();
    for _ in 0..64 {
        writer.data(stdin, b"x", false).unwrap();
    }
    writer.close().unwrap();
    bench.wait_for("client gone", 1);
}

#[test]
fn shutdown_ends_sessions_and_their_processes() {
    let bench = Bench::new();
    let mut command = Command::open(&bench.exec("server", ALL), ALL).unwrap();
    command.read_until("ready").unwrap();
    bench.runtime.block_on(bench.server.shutdown());
    bench.wait_for("client gone", 1);
    assert!(command.client.reader.next().ok().flatten().is_none());
    let address = bench.server.address();
    std::net::TcpStream::connect(address).unwrap_err();
}

#[test]
fn last_handle_that_is_dropped_ends_sessions() {
    let bench = Bench::new();
    let mut command = Command::open(&bench.exec("server", ALL), ALL).unwrap();
    command.read_until("ready").unwrap();
    let Bench {
        runtime,
        server,
        script,
    } = bench;
    let other = server.clone();
    drop(server);
    command.client.writer.ping(1).unwrap();
    assert_eq!(
        command.client.reader.next().unwrap(),
        Some(Frame::Ping { id: 1 })
    );
    drop(other);
    runtime.block_on(script.wait_for("client gone", 1));
}

/// Bytes that differ all over.
struct Numbers(u64);

impl Read for Numbers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for chunk in buffer.chunks_mut(8) {
            // Knuth's multiplier spreads the counter over the word.
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
        Ok(buffer.len())
    }
}

/// Hashes what is written to it.
struct HashOf(Sha256);

impl Write for HashOf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    from: R,
    hash: Sha256,
    length: u64,
}

impl<R> Hashing<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            hash: Sha256::new(),
            length: 0,
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}
