//! Much at once, and clients that come and go: what is bounded stays so, and others are not harmed.

use std::io::{self, Write};
use std::net::TcpStream;

use harness::spdy::Frame;
use harness::spdy::command::Command;
use streaming::Settings;

use crate::bench::{ALL, Bench};

#[test]
fn thousands_of_clients_that_go_leave_nothing_behind() {
    let settings = Settings {
        most_requests: 16,
        ..Settings::default()
    };
    let bench = Bench::with(settings);
    let mut beside = Command::open(&bench.exec("cat", ALL), ALL).unwrap();
    let address = bench.server.address();
    for number in 0..10_000 {
        let mut stream = TcpStream::connect(address).unwrap();
        let bytes: &[u8] = match number % 4 {
            0 => b"",
            1 => b"POST /exec/AAAA HT",
            2 => b"POST /exec/AAAA HTTP/1.1\r\n\r\n",
            _ => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        };
        stream.write_all(bytes).unwrap();
        // Others come in meanwhile. Connections are accepted in their order, so this also keeps the kernel's queue of them from
        // overflowing, which would cost a second each time.
        if number % 100 == 0 {
            bench.check_well();
        }
    }
    // Each place is free again, and who was inside heard nothing of it.
    for _ in 0..20 {
        bench.check_well();
    }
    beside
        .client
        .writer
        .data(beside.stdin, b"unharmed", false)
        .unwrap();
    assert_eq!(beside.read_until("unharmed").unwrap(), "unharmed");
}

#[test]
fn sessions_that_clients_leave_give_their_places_back() {
    let settings = Settings {
        most_sessions: 8,
        ..Settings::default()
    };
    let bench = Bench::with(settings);
    for times in 1..=200 {
        let mut command = Command::open(&bench.exec("server", ALL), ALL).unwrap();
        command.read_until("ready").unwrap();
        command.client.writer.close().unwrap();
        bench.wait_for("client gone", times);
    }
    bench.check_well();
}

#[test]
fn many_sessions_at_once_keep_to_themselves() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for number in 0..32 {
            let bench = &bench;
            scope.spawn(move || {
                let text = number.to_string().repeat(100_000);
                let outcome = bench.run("cat", ALL, text.as_bytes());
                assert_eq!(outcome.stdout, text.as_bytes());
            });
        }
    });
}

#[test]
fn client_that_reads_slowly_holds_its_process_and_no_memory() {
    const LENGTH: usize = 256 << 20;
    let bench = Bench::new();
    let url = bench.exec(&format!("pour {LENGTH}"), ALL);
    let command = Command::open(&url, ALL).unwrap();
    let mut reader = command.client.reader;
    let mut came = 0;
    while let Some(frame) = reader.next().unwrap() {
        if let Frame::Data { stream, bytes, .. } = frame
            && stream == command.stdout
        {
            came += bytes.len();
        }
        if came < LENGTH / 2 {
            // What is between the two fits into pipes and sockets, so the process can't be through.
            let ended = bench.runtime.block_on(async {
                let event = bench.script.wait_for("ended", 1);
                tokio::select! { biased; () = event => true, () = std::future::ready(()) => false }
            });
            assert!(!ended, "{came} bytes were read");
        }
    }
    assert_eq!(came, LENGTH);
    bench.wait_for("ended", 1);
    drop(command.client.writer);
    bench.run("exit 0", ALL, io::empty());
}
