//! Who comes in: tokens, paths, methods, protocols; and those who are slow, long or many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::spdy::command::{Command, PROTOCOLS};
use harness::spdy::{connect, request};
use streaming::{BindError, Settings};

use crate::bench::{ALL, Bench};

const UPGRADE: [&str; 3] = [
    "Connection: Upgrade",
    "Upgrade: SPDY/3.1",
    "X-Stream-Protocol-Version: v4.channel.k8s.io",
];

fn ask(method: &str, url: &str, lines: &[&str]) -> (u16, String) {
    let answer = request(&mut connect(url).unwrap(), method, url, lines).unwrap();
    (answer.status, answer.head.to_ascii_lowercase())
}

#[test]
fn upgrade_is_answered_as_clients_need_it() {
    let bench = Bench::new();
    for method in ["GET", "POST"] {
        let url = bench.exec("exit 0", ALL);
        assert!(url.starts_with(&format!("http://{}/exec/", bench.server.address())));
        let (status, head) = ask(method, &url, &UPGRADE);
        assert_eq!(status, 101);
        for line in [
            "connection: upgrade\r\n",
            "upgrade: spdy/3.1\r\n",
            "x-stream-protocol-version: v4.channel.k8s.io\r\n",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
    }
}

#[test]
fn token_is_for_one_client_and_one_kind() {
    let bench = Bench::new();
    let url = bench.exec("cat", ALL);
    let first = Command::open(&url, ALL).unwrap();
    assert_eq!(ask("POST", &url, &UPGRADE).0, 404);
    assert_eq!(first.finish(&b"well"[..]).unwrap().stdout, b"well");
    assert_eq!(ask("POST", &url, &UPGRADE).0, 404);
    let other_kind = bench.exec("cat", ALL).replace("/exec/", "/attach/");
    assert_eq!(ask("POST", &other_kind, &UPGRADE).0, 404);
    let base = format!("http://{}", bench.server.address());
    for path in [
        "/",
        "/exec",
        "/exec/",
        "/exec/AAAA",
        "/metrics",
        "//",
        "/exec/%00",
    ] {
        assert_eq!(
            ask("POST", &format!("{base}{path}"), &UPGRADE).0,
            404,
            "{path}"
        );
    }
}

#[test]
fn request_that_is_no_session_is_told_why() {
    let bench = Bench::new();
    let (status, head) = ask("PUT", &bench.exec("cat", ALL), &UPGRADE);
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, post"), "{head}");
    assert_eq!(ask("GET", &bench.exec("cat", ALL), &[]).0, 400);
    assert_eq!(ask("POST", &bench.exec("cat", ALL), &UPGRADE[..2]).0, 400);
    let unknown = [
        UPGRADE[0],
        UPGRADE[1],
        "X-Stream-Protocol-Version: v9.channel.k8s.io",
    ];
    let (status, head) = ask("POST", &bench.exec("cat", ALL), &unknown);
    assert_eq!(status, 403);
    for name in &PROTOCOLS[1..] {
        let line = format!("x-accepted-stream-protocol-versions: {name}\r\n");
        assert!(head.contains(&line), "{line} in {head}");
    }
}

#[test]
fn every_version_tells_the_exit_code_as_it_can() {
    let bench = Bench::new();
    for (version, json) in [("v4.", true), ("v3.", false), ("v2.", false), ("", false)] {
        let url = bench.exec("exit 3 out err", ALL);
        let name = format!("{version}channel.k8s.io");
        let mut client = harness::spdy::Client::upgrade(&url, &[&name]).unwrap();
        let mut open = |kind| client.open(&[("streamtype", kind)]).unwrap();
        // In an order of its own.
        let command = (open("stdout"), open("stderr"), open("error"), open("stdin"));
        let (stdout, stderr, error, stdin) = command;
        let command = Command {
            client,
            error,
            stdin,
            stdout,
            stderr,
            resize: 0,
        };
        let outcome = command.finish(std::io::empty()).unwrap();
        assert_eq!(outcome.status.starts_with('{'), json, "{}", outcome.status);
        assert!(
            outcome.status.contains("exit code: 3"),
            "{}",
            outcome.status
        );
    }
}

#[test]
fn request_that_is_long_or_no_http_is_cut_off() {
    let bench = Bench::new();
    let url = bench.exec("cat", ALL);
    let long = format!("X-Long: {}", "a".repeat(64 << 10));
    for bytes in [
        format!("GET / HTTP/1.1\r\n{long}\r\n\r\n"),
        "hello\r\n\r\n".to_owned(),
    ] {
        let mut stream = connect(&url).unwrap();
        // The server may close before it has read all.
        stream.write_all(bytes.as_bytes()).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(ask("POST", &url, &UPGRADE).0, 101, "the token is as it was");
}

#[test]
fn slow_clients_make_room_for_others() {
    let settings = Settings {
        most_requests: 4,
        ..Settings::default()
    };
    let bench = Bench::with(settings);
    let begun = Instant::now();
    let address = bench.server.address();
    let mut slow: Vec<TcpStream> = (0..4)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for stream in &mut slow {
        stream
            .write_all(b"POST /exec/AAAA HTTP/1.1\r\nHost: ")
            .unwrap();
    }
    // All places are taken until the slow ones are cut off.
    bench.check_well();
    for stream in &mut slow {
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(!answer.starts_with(b"HTTP/1.1 1"), "{answer:?}");
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(5),
        "the slow ones were in the way"
    );
}

#[test]
fn sessions_are_bounded_and_a_refused_client_may_come_again() {
    let settings = Settings {
        most_sessions: 2,
        ..Settings::default()
    };
    let bench = Bench::with(settings);
    let open = || {
        let mut command = Command::open(&bench.exec("server", ALL), ALL).unwrap();
        command.read_until("ready").unwrap();
        command
    };
    let (first, _second) = (open(), open());
    let url = bench.exec("exit 3", ALL);
    assert_eq!(ask("POST", &url, &UPGRADE).0, 503);
    first.client.writer.close().unwrap();
    bench.wait_for("client gone", 1);
    let command = loop {
        // The place is free a moment after the process has heard of it.
        if let Ok(command) = Command::open(&url, ALL) {
            break command;
        }
    };
    assert_eq!(command.finish(std::io::empty()).unwrap().code().unwrap(), 3);
}

#[test]
fn tokens_in_flight_are_bounded() {
    let settings = Settings {
        most_tokens: 2,
        ..Settings::default()
    };
    let bench = Bench::with(settings);
    let url = bench.exec("exit 0", ALL);
    bench.exec("exit 0", ALL);
    let session = streaming::Session::PortForward(streaming::PortForward {
        sandbox: "pod".to_owned(),
        ports: Vec::new(),
    });
    let refused = bench.server.open(session.clone()).unwrap_err();
    assert!(
        refused.to_string().contains("2 streaming URLs"),
        "{refused}"
    );
    assert_eq!(ask("POST", &url, &UPGRADE).0, 101);
    bench.server.open(session).unwrap();
}

#[test]
fn addresses_are_loopback_or_named() {
    let bench = Bench::new();
    assert!(bench.server.address().ip().is_loopback());
    let bind = |listen: &str, base_url: Option<&str>| {
        let settings = Settings {
            listen: listen.parse().unwrap(),
            base_url: base_url.map(str::to_owned),
            ..Settings::default()
        };
        let script = bench.script.clone();
        bench
            .runtime
            .block_on(streaming::Server::bind(settings, script))
    };
    assert!(matches!(
        bind("0.0.0.0:0", None),
        Err(BindError::NoAddress(_))
    ));
    for wrong in ["node", "ftp://node", "http://", "http://no de"] {
        assert!(
            matches!(bind("127.0.0.1:0", Some(wrong)), Err(BindError::BaseUrl(_))),
            "{wrong}"
        );
    }
    let taken = bench.server.address().to_string();
    assert!(matches!(bind(&taken, None), Err(BindError::Listen { .. })));
    let named = bind("0.0.0.0:0", Some("https://node:10010/")).unwrap();
    let session = streaming::Session::PortForward(streaming::PortForward {
        sandbox: "pod".to_owned(),
        ports: Vec::new(),
    });
    let url = named.open(session).unwrap();
    assert!(url.starts_with("https://node:10010/portforward/"), "{url}");
}
